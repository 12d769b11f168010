"""Which extension gets a number, and what a stream is asked for."""

from __future__ import annotations

import pytest

from esl_controller.diagnostics.doctor.served_dialplan import first, matching, stream_faults
from esl_controller.freeswitch import dialplan
from esl_controller.freeswitch.hunt import Takes

DOMAIN = dialplan.EXAMPLE_DOMAIN_UUID
OURS = dialplan.render(domain_uuid=DOMAIN, secretary_uuid=dialplan.EXAMPLE_SECRETARY_UUID)

ACT = "<action application='answer'/>"

SEED = """
local cmd = "uuid_audio_stream " .. call_uuid .. " start " .. ws_url .. " both 8000"
local ws_url = "ws://127.0.0.1:8085/ws/" .. domain_uuid .. "/" .. secretary_uuid .. "/" .. call_uuid
"""
MENDED = """
local ws_url = "ws://127.0.0.1:8085/stream/" .. domain_uuid .. "/" .. call_uuid
local cmd = "uuid_audio_stream " .. call_uuid .. " start " .. ws_url .. " mono 16k"
"""


def context(*extensions: str) -> str:
    return f"<context name='default'>{''.join(extensions)}</context>"


def extension(name: str, conditions: str, more: str = "") -> str:
    return f"<extension name='{name}' {more}>{conditions}</extension>"


def number(expression: str, inside: str = "", more: str = "") -> str:
    field = "field='destination_number'"
    return f"<condition {field} expression='{expression}' {more}>{inside}</condition>"


def names(*extensions: str) -> list[str]:
    return [each.name for each in matching(context(*extensions), "8000")]


def winner(*extensions: str) -> str | None:
    found = first(matching(context(*extensions), "8000"))
    return found.name if found else None


def test_our_own_extension_is_read() -> None:
    (ours,) = matching(context(OURS), "8000")
    assert ours.takes is Takes.YES
    assert set(ours.data("socket")) == {"127.0.0.1:8022 async full"}
    given = ours.variables()
    assert (given["socket_resume"], given["domain_uuid"]) == ("true", DOMAIN)
    assert matching(context(OURS), "8001") == []


def test_the_first_that_matches_and_does_not_continue_has_the_call() -> None:
    everything = extension("any", number(".", ACT), "continue='1'")
    four = extension("four", number(r"^\d{4}$"))
    ours = extension("ours", number("^8000$"))
    assert names(everything, four, ours) == ["any", "four", "ours"]
    assert winner(everything, four, ours) == "four"
    assert winner(everything, ours, four) == "ours"
    assert winner(everything) is None


def test_all_conditions_must_match_but_those_that_never_break() -> None:
    both = extension("both", number("^8000$") + number("^9"))
    never = extension("never", number("^9", more="break='never'") + number("^8000$"))
    assert names(both, never) == ["never"]


@pytest.mark.parametrize(
    "unknown",
    [
        "<condition field='${user_exists}' expression='^true$'/>",
        "<condition field='caller_id_number' expression='.'/>",
        "<condition wday='2-6'/>",
        "<condition week='7'/>",
        "<condition minute-of-day='1-60'/>",
        "<condition regex='any'><regex field='x' expression='y'/></condition>",
        number("^(*UTF8)8000$"),
    ],
)
def test_what_depends_on_more_than_the_number_only_may_match(unknown: str) -> None:
    perhaps = extension("perhaps", unknown + number("^8000$"))
    sure = extension("sure", number("^8000$"))
    assert names(perhaps, sure) == ["perhaps", "sure"]
    assert winner(perhaps, sure) == "sure"
    assert winner(perhaps) == "perhaps"


@pytest.mark.parametrize("always", ["<condition/>", "<condition field='' expression=''/>"])
def test_a_condition_that_asks_nothing_takes_every_number(always: str) -> None:
    assert winner(extension("all", always), extension("ours", number("^8000$"))) == "all"


def test_no_xml_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 1"):
        matching("can't find anything", "8000")


def test_the_seeds_script_and_its_mended_form() -> None:
    assert stream_faults(SEED) == [
        "a path that begins with /ws/, where it must be /stream/{domain}/{call}",
        "the mix type 'both', which is none of mono, mixed, stereo",
        "the rate '8000', which is written 8k or 16k",
    ]
    assert stream_faults(MENDED) == []


@pytest.mark.parametrize(
    ("words", "faults"),
    [("mono 16k", 0), ("stereo 8k", 0), ("mono 16000", 1), ("both 16k", 1), ("both 8000", 2)],
)
def test_the_words_of_the_command(words: str, faults: int) -> None:
    data = f"x=${{uuid_audio_stream(${{uuid}} start ws://127.0.0.1:8085/stream/a/b {words})}}"
    assert len(stream_faults(data)) == faults


def test_a_condition_that_may_fail_and_ends_it_if_it_does_not() -> None:
    seven = number("^7000$", ACT, "break='on-true'")
    ours = extension("ours", number("^8000$"))
    assert winner(extension("early", seven + number(r"^\d{4}$", ACT)), ours) == "early"
    eight = number("^8000$", ACT, "break='on-true'")
    (early,) = matching(context(extension("early", eight + number("^9", ACT))), "8000")
    assert (early.takes, len(early.actions)) == (Takes.YES, 1)


@pytest.mark.parametrize(
    ("rule", "expressions", "wins"),
    [
        ("any", ("^8000$", "^9"), True),
        ("any", ("^7", "^9"), False),
        ("all", ("^8", "0$"), True),
        ("all", ("^8", "^9"), False),
        ("xor", ("^9", "^8"), True),
        ("xor", ("^9", "^7"), False),
    ],
)
def test_several_expressions_in_a_condition(
    rule: str, expressions: tuple[str, ...], wins: bool
) -> None:
    rows = "".join(f"<regex field='destination_number' expression='{e}'/>" for e in expressions)
    early = extension("early", f"<condition regex='{rule}'>{rows}</condition>")
    ours = extension("ours", number("^8000$"))
    assert winner(early, ours) == ("early" if wins else "ours")


def test_several_expressions_that_ask_for_more_than_the_number() -> None:
    rows = "<regex field='destination_number' expression='{}'/><regex field='network_addr'/>"
    for rule, expression, takes in (
        ("any", "^8000$", [Takes.YES]),
        ("any", "^7", [Takes.MAYBE]),
        ("all", "^8000$", [Takes.MAYBE]),
        ("all", "^7", []),
    ):
        inside = f"<condition regex='{rule}'>{rows.format(expression)}</condition>"
        found = matching(context(extension("x", inside)), "8000")
        assert [each.takes for each in found] == takes, (rule, expression)
