"""An extension as XML and as details; what it catches."""

from __future__ import annotations

from uuid import UUID
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.freeswitch import dialplan
from esl_controller.freeswitch.dialplan import (
    EXAMPLE_DOMAIN_UUID,
    EXAMPLE_SECRETARY_UUID,
    DialplanError,
)
from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.extension import Catch, assembled, catches, details_of, parsed, same
from esl_controller.fusionpbx.rows import Detail

ID = UUID("33333333-3333-4333-8333-333333333333")


def rendered(**values: object) -> str:
    return dialplan.render(
        domain_uuid=EXAMPLE_DOMAIN_UUID,
        secretary_uuid=EXAMPLE_SECRETARY_UUID,
        **values,  # type: ignore[arg-type]
    )


def extension(inside: str, attributes: str = "") -> ElementTree.Element:
    [found] = parsed(f"<extension {attributes}>{inside}</extension>")
    return found


def condition(expression: str, field: str = "destination_number", more: str = "") -> str:
    action = '<action application="answer"/>'
    return f'<condition field="{field}" expression="{expression}" {more}>{action}</condition>'


def test_details_and_xml_say_the_same() -> None:
    details = details_of(rendered())
    [built] = ElementTree.fromstring(f"<x>{assembled('n', ID, details)}</x>").iter("extension")
    [expected] = ElementTree.fromstring(rendered()).iter("extension")
    assert built.attrib == {"name": "n", "continue": "false", "uuid": str(ID)}
    assert [(each.tag, each.attrib) for each in built.iter()][1:] == [
        (each.tag, each.attrib) for each in expected.iter()
    ][1:]


def test_the_page_keeps_the_order_of_a_group() -> None:
    """It offers orders up to 999, and sorts by them; the XML has actions before anti-actions."""
    details = details_of(rendered())
    assert max(detail.order for detail in details) <= 999
    for group in {detail.group for detail in details}:
        own = [detail for detail in details if detail.group == group]
        assert [detail.order for detail in own] == sorted({detail.order for detail in own})
        places = [("condition", "action", "anti-action").index(detail.tag) for detail in own]
        assert places == sorted(places)
        assert places.count(0) == 1


def test_assembled_by_group_and_order_without_what_is_disabled() -> None:
    details = [
        Detail(1, 5, "condition", "a", "b", break_="never"),
        Detail(0, 15, "anti-action", "hangup", ""),
        Detail(0, 10, "action", "set", "x=y", inline="true"),
        Detail(0, 12, "action", "set", "off", enabled=False),
        Detail(0, 5, "condition", "destination_number", "^1$"),
    ]
    assert assembled("n", ID, details, continue_=True) == (
        f'<extension name="n" continue="true" uuid="{ID}">\n'
        '\t<condition field="destination_number" expression="^1$">\n'
        '\t\t<action application="set" data="x=y" inline="true"/>\n'
        '\t\t<anti-action application="hangup" data=""/>\n'
        "\t</condition>\n"
        '\t<condition field="a" expression="b" break="never">\n'
        "\t</condition>\n"
        "</extension>\n"
    )


@given(st.text(max_size=30))
def test_what_fusionpbx_would_not_escape_is_refused(data: str) -> None:
    try:
        details = details_of(rendered(fallback=[("log", data)]))
    except (FusionError, DialplanError):
        return
    [found] = parsed(assembled("n", ID, details))
    assert list(found.iter("action"))[-1].attrib == {"application": "log", "data": data}


@pytest.mark.parametrize("data", ["a & b", "<b>", "it's", 'say "x"', "&amp;"])
def test_refused(data: str) -> None:
    with pytest.raises(FusionError, match="as they are"):
        details_of(rendered(fallback=[("log", data)]))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (extension(condition("^8000$")), Catch.YES),
        (extension(condition(r"^(80\d\d)$")), Catch.YES),
        (extension(condition("^7000$")), Catch.NO),
        (extension(condition("^8000$"), 'continue="true"'), Catch.NO),
        (extension(condition("^8000$"), 'continue="1"'), Catch.NO),
        (extension(condition("^9$", more='break="on-true"')), Catch.NO),
        (extension(condition("^8000$") + condition("^9$", more='break="never"')), Catch.NO),
        (extension(condition("^a$", "${x}") + condition("^8000$")), Catch.PERHAPS),
        (
            extension(condition("^a$", "${x}", 'break="never"') + condition("^8000$")),
            Catch.YES,
        ),
        (
            extension('<condition field="destination_number" expression="80"/>' + condition("^1$")),
            Catch.NO,
        ),
        (
            extension('<condition field="destination_number" expression="80"/>'),
            Catch.YES,
        ),
        (extension(condition("^7$", more='break="never"') + condition("^8000$")), Catch.YES),
        (extension(condition("^(?8000$")), Catch.PERHAPS),
        (extension(condition("true", "${user_exists}")), Catch.NO),
        (extension(condition("", "")), Catch.ALL),
        (extension("<condition><action application='a'/></condition>"), Catch.ALL),
        (
            extension(
                '<condition field="destination_number" expression="80"/>' + condition("", "")
            ),
            Catch.YES,
        ),
        (extension("<condition week='1'><action application='a'/></condition>"), Catch.NO),
        (
            extension("<condition regex='any'><regex/><action application='a'/></condition>"),
            Catch.ALL,
        ),
        (extension(condition("^a$", "${x}") + condition("", "")), Catch.NO),
        (extension(condition("^1$", "")), Catch.NO),
        (extension(""), Catch.NO),
    ],
)
def test_what_it_catches(found: ElementTree.Element, expected: Catch) -> None:
    assert catches(found, "8000") is expected


def test_same() -> None:
    one = extension(condition("^1$"), 'name="a" continue="false" uuid="A"')
    assert same(one, extension("\n" + condition("^1$"), 'uuid="a" name="a"'))
    for other in (
        extension(condition("^2$"), 'name="a" uuid="a"'),
        extension(condition("^1$"), 'name="b" uuid="a"'),
        extension(condition("^1$"), 'name="a" uuid="a" continue="true"'),
        extension(condition("^1$", more='break="never"'), 'name="a" uuid="a"'),
        extension(condition("^1$").replace("action", "anti-action"), 'name="a" uuid="a"'),
    ):
        assert not same(one, other)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_is_none(text: str) -> None:
    assert isinstance(parsed(text), list)


def test_a_whole_document_is_parsed() -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<document type="freeswitch/xml">'
        '<section name="dialplan"><context name="a"><extension name="b"/></context></section>'
        "</document>"
    )
    assert [each.get("name") for each in parsed(text)] == ["b"]


def test_entities_that_grow_are_no_xml() -> None:
    lines = ['<!ENTITY a0 "ha">'] + [
        f'<!ENTITY a{at} "{f"&a{at - 1};" * 10}">' for at in range(1, 9)
    ]
    bomb = f"<!DOCTYPE x [{''.join(lines)}]><extension name='&a8;'/>"
    assert parsed(bomb) == []


@pytest.mark.parametrize(
    ("rule", "expressions", "caught"),
    [
        ("any", ("^8000$", "^9"), Catch.YES),
        ("any", ("^7", "^9"), Catch.NO),
        ("all", ("^8", "0$"), Catch.YES),
        ("all", ("^8", "^9"), Catch.NO),
        ("xor", ("^8", "^9"), Catch.NO),  # the last one that is tried decides
        ("xor", ("^9", "0$"), Catch.YES),
    ],
)
def test_a_condition_of_several_expressions(
    rule: str, expressions: tuple[str, ...], caught: Catch
) -> None:
    rows = "".join(f'<regex field="destination_number" expression="{e}"/>' for e in expressions)
    inside = f'<condition regex="{rule}">{rows}<action application="answer"/></condition>'
    assert catches(extension(inside), "8000") is caught
    assert catches(extension(inside.replace("^8", "${caller}")), "1234") is not Catch.YES
