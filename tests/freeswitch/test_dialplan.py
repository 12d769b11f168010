"""The dialplan extension: what it holds, and values that may not stand in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.call.hops import Hops
from esl_controller.freeswitch.dialplan import (
    EXAMPLE_DOMAIN_UUID,
    EXAMPLE_SECRETARY_UUID,
    FALLBACK,
    SILENT_MS,
    WAITS_MS,
    DialplanError,
    Way,
    bridge_and_return,
    park_again,
    render,
)
from esl_controller.freeswitch.dialplan import SOCKET as SOCKET_DATA
from esl_controller.freeswitch.wire import Place, UnsafeValue
from tests.paths import ROOT

example = partial(render, domain_uuid=EXAMPLE_DOMAIN_UUID, secretary_uuid=EXAMPLE_SECRETARY_UUID)
EXAMPLE_FILE = ROOT / "freeswitch" / "dialplan" / "voice_ai.xml"


SOCKET = ("socket", "127.0.0.1:8022 async full")
ANEW = ("transfer", "${controller_again}")
STOPPED = ("set", "controller_stopped=${uuid_record(${controller_unrecord})}")
TASK = "+2 ${uuid}.until_taken uuid_transfer ${uuid} 8000 XML default&"
SENT_HOME = ("set", f"controller_task=${{sched_api({TASK})}}")


def actions(text: str, tag: str = "action") -> list[tuple[str, str]]:
    found = ElementTree.fromstring(text).iter(tag)
    return [(action.attrib["application"], action.attrib["data"]) for action in found]


def conditions(text: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter("condition"))


def tries(waits_ms: Sequence[int], tag: str) -> list[tuple[str, str]]:
    """The list of tries, for a caller who is answered (action) or not (anti-action), as the channel
    does them."""
    rows = actions(ElementTree.tostring(conditions(example(waits_ms=waits_ms))[2], "unicode"), tag)
    unfolded: list[tuple[str, str]] = []
    for application, data in rows:
        if application != "execute_extension":
            unfolded.append((application, data))
            continue
        line, dialplan = data.split(" ")
        assert dialplan == "inline"
        assert not re.search(r"(?<!\\)\$", line), "a variable that is expanded too early"
        each = line.replace(r"\s", " ").replace(r"\$", "$").removeprefix("m:^:").split("^")
        unfolded += [(action.partition(":")[0], action.partition(":")[2]) for action in each]
    return unfolded


def test_the_file_in_the_tree_is_the_one_that_is_printed() -> None:
    assert EXAMPLE_FILE.read_text(encoding="utf-8") == example()


def test_the_extension_sets_hands_over_and_falls_back() -> None:
    called, lost, answered, last = conditions(example())
    number = {"field": "destination_number", "expression": "^8000$"}
    assert called.attrib == last.attrib == number, "FreeSWITCH stops at the first that fails"
    assert lost.attrib["break"] == answered.attrib["break"] == "never"
    assert actions(ElementTree.tostring(called, "unicode")) == [
        ("set", f"domain_uuid={EXAMPLE_DOMAIN_UUID}"),
        ("set", f"secretary_uuid={EXAMPLE_SECRETARY_UUID}"),
        ("set", "socket_resume=true"),
        ("unset", "hangup_after_bridge"),
        ("set", "controller_home=8000 XML ${context}"),
        ("set", "max_session_transfers=70"),
    ]
    assert lost.attrib["field"] == "${controller_again}"
    assert not re.search(lost.attrib["expression"], "")
    assert actions(ElementTree.tostring(lost, "unicode")) == [
        ("set", "controller_lost_at=${strmicroepoch()}"),
        ("unset", "controller_again"),
    ]
    assert actions(ElementTree.tostring(last, "unicode")) == [STOPPED, *FALLBACK]


@pytest.mark.parametrize(
    ("disposition", "connected"),
    [("ANSWER", True), ("EARLY MEDIA", True), ("", False), ("RECEIVED", False)],
)
def test_only_a_caller_who_can_hear_it_gets_the_tones(disposition: str, connected: bool) -> None:
    condition = conditions(example())[2]
    assert condition.attrib["field"] == "${endpoint_disposition}"
    assert bool(re.search(condition.attrib["expression"], disposition)) == connected


def test_who_is_answered_waits_in_silence_and_then_with_tones() -> None:
    assert tries([250, 750, 500, 100, 2000], "action") == [
        *(SOCKET, ANEW),
        *(("sleep", "250"), SOCKET, ANEW),
        *(("sleep", "750"), SOCKET, ANEW),
        *(("playback", "tone_stream://v=-24;%(120,380,425)"), SOCKET, ANEW),
        *(("sleep", "100"), SOCKET, ANEW),
        *(("playback", "tone_stream://v=-24;%(120,1880,425)"), SOCKET, ANEW),
    ]


def test_who_is_not_answered_hears_ringing() -> None:
    assert tries([250, 2000], "anti-action") == [
        *(SOCKET, ANEW, ("ring_ready", "")),
        *(("sleep", "250"), SOCKET, ANEW),
        *(("sleep", "2000"), SOCKET, ANEW),
    ]


def test_it_has_few_lines() -> None:
    """FusionPBX's page posts some ten values for each, and PHP takes a thousand by default."""
    lines = [row for row in ElementTree.fromstring(example()).iter() if "action" in row.tag]
    assert len(lines) <= 20


def test_the_waits_outlast_a_restart_of_a_minute() -> None:
    assert sum(WAITS_MS) >= 60_000 + max(WAITS_MS)
    assert list(WAITS_MS) == sorted(WAITS_MS)
    assert SILENT_MS in accumulate(WAITS_MS)


def test_given_values_stand_in_it() -> None:
    text = render(
        "+55.11*1#",
        domain_uuid=EXAMPLE_DOMAIN_UUID.upper(),
        secretary_uuid=EXAMPLE_SECRETARY_UUID,
        socket="a.example.net:8022|10.0.0.2:9000",
        fallback=[("transfer", 'operator XML "a & b" <c>')],
        context="tenant.example.net",
        name="reception",
        waits_ms=[],
    )
    root = ElementTree.fromstring(text)
    [context] = root.iter("context")
    [extension] = context.iter("extension")
    assert context.attrib == {"name": "tenant.example.net"}
    assert extension.attrib == {"name": "reception"}
    assert actions(text)[0] == ("set", f"domain_uuid={EXAMPLE_DOMAIN_UUID}")
    assert ("set", "controller_home=+55.11*1# XML tenant.example.net") in actions(text)
    assert actions(text)[-4:] == [
        ("socket", "a.example.net:8022|10.0.0.2:9000 async full"),
        ANEW,
        STOPPED,
        ("transfer", 'operator XML "a & b" <c>'),
    ]
    expression = conditions(text)[0].attrib["expression"]
    assert re.search(expression, "+55.11*1#")
    for other in ("55.11*1#", "+55x11*1#", "+55.11*1##", "0+55.11*1#"):
        assert not re.search(expression, other)


def test_freeswitch_can_read_the_file() -> None:
    """It drops lines that hold <include> or <?, and acts on these marks also in comments."""
    lines = example(context="x").splitlines()
    for line in lines:
        assert "include>" not in line or line in ("<include>", "</include>")
        assert len(line) <= 100 or "execute_extension" in line
        for mark in ("<?", "<!--#", "$${", "X-PRE-PROCESS"):
            assert mark not in line
    ElementTree.fromstring("\n".join(lines[1:-1]))


def test_no_condition_captures() -> None:
    """With a parenthesis in a condition FreeSWITCH would replace $1 and the like in its actions."""
    for condition in conditions(example()):
        assert "(" not in condition.attrib["expression"]


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"number": ""}, "number: '' may hold letters"),
        ({"number": "80(00"}, "number: '80(00' may hold letters"),
        ({"number": "8000\n"}, r"number: '8000\n' may hold letters"),
        ({"number": "${x}"}, "number: '${x}' may hold letters"),
        ({"domain_uuid": "ativo.example.net"}, "domain_uuid: 'ativo.example.net' is not a UUID"),
        ({"secretary_uuid": ""}, "'' is not a UUID; a new one: fs_cli -x create_uuid"),
        ({"secretary_uuid": "${uuid}"}, "secretary_uuid: '${uuid}' is not a UUID"),
        ({"socket": "127.0.0.1"}, "socket: '127.0.0.1' is not HOST:PORT"),
        ({"socket": "a:1|"}, "socket: '' is not HOST:PORT"),
        ({"socket": "::1:8022"}, "socket: '::1:8022' is not HOST:PORT"),
        ({"socket": "a:0"}, "socket: 'a:0' is not HOST:PORT"),
        ({"socket": "a:65536"}, "socket: 'a:65536' is not HOST:PORT"),
        ({"socket": "a:1 async"}, "socket: 'a:1 async' is not HOST:PORT"),
        ({"context": "a b"}, "context: 'a b' may hold letters"),
        ({"name": '"'}, "name: '\"' may hold letters"),
        ({"waits_ms": [-1]}, "waits_ms: -1 is not from 0 to 60000"),
        ({"fallback": []}, "fallback: is empty"),
        ({"fallback": [("set x", "")]}, "fallback: 'set x' is not the name of an application"),
        ({"fallback": [("transfer", "${x} XML d")]}, "FreeSWITCH would expand ${...}"),
        ({"fallback": [("transfer", "a\nb")]}, "line break or another control character"),
        ({"fallback": [("audio_stream", "")]}, "would end with DESTINATION_OUT_OF_ORDER"),
        ({"fallback": [("uuid_audio_stream", "")]}, "would end with DESTINATION_OUT_OF_ORDER"),
    ],
)
def test_a_value_that_cannot_stand_in_it_is_one_line(values: dict[str, Any], mistake: str) -> None:
    with pytest.raises(DialplanError) as caught:
        example(**values)
    [line] = str(caught.value).splitlines()
    assert mistake in line


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(DialplanError) as caught:
        render("(", domain_uuid="", secretary_uuid="", socket="|", context=" ")
    assert len(str(caught.value).splitlines()) == 6


@given(data=st.text(max_size=40), number=st.text(max_size=5))
def test_any_text_is_refused_or_comes_out_of_the_xml_as_it_went_in(data: str, number: str) -> None:
    try:
        text = example(number, fallback=[("log", data)])
    except DialplanError:
        assert (
            "$" in data or not data.isprintable() or not re.fullmatch(r"[\w*#+.-]+", number, re.A)
        )
    else:
        assert actions(text)[-1] == ("log", data)


def test_the_way_bridge_and_return_is_one_word_in_quotes_and_ends_at_home() -> None:
    to, home = Place("*99+1", "a.b"), Place("8000", "default")
    way = bridge_and_return(Way(to, home, 30, 3, Hops(4, 1, 0)))
    assert "'" not in way
    assert way.startswith("m:^:")
    actions = [action.partition(":")[::2] for action in way.removeprefix("m:^:").split("^")]
    assert actions[0] == ("set", "controller_returns=3")
    (bridge,) = (data for application, data in actions if application == "bridge")
    assert bridge.endswith("}loopback/*99+1/a.b/XML")
    assert "controller_hops=4.1.1" in bridge, "what the leg inherits"
    assert "export_vars=controller_hops" in bridge, "what it hands on"
    assert "originate_timeout=30" in bridge
    assert ("set", "continue_on_fail=true") in actions
    assert ("set", "hangup_after_bridge=false") in actions
    assert actions[-2:] == [SENT_HOME, ("transfer", "8000 XML default")]


def test_who_comes_back_only_if_nobody_was_reached_is_gone_after_a_bridge() -> None:
    to, home = Place("1001", "default"), Place("8000", "default")
    way = bridge_and_return(Way(to, home, 30, 1, only_unreached=True))
    assert "^set:hangup_after_bridge=true^" in way


@pytest.mark.parametrize(
    ("home", "usable"),
    [
        ("8000 XML default", True),
        ("8000 XML clinic.example", True),
        ("8000 XML", False),
        ("8000 XML a^hangup", False),
        ("8000 XML a' b", False),
        ("8000 XML a\nb", False),
    ],
)
def test_only_a_plain_extension_is_a_way_back(home: str, usable: bool) -> None:
    try:
        assert str(Place.parse(home)) == home
    except UnsafeValue:
        assert not usable
    else:
        assert usable


def test_the_way_to_a_new_park_dials_the_same_controllers_and_then_goes_home() -> None:
    assert SOCKET_DATA.fullmatch("127.0.0.1:8022|b.example:8023 async full")
    line = park_again("127.0.0.1:8022 async full", "8000 XML default", 3, resumes=True)
    actions = [action.partition(":")[::2] for action in line.removeprefix("m:^:").split("^")]
    assert actions == [
        SENT_HOME,
        ("set", "controller_parks=3"),
        ("unset", "controller_lost_at"),
        ("set", "socket_resume=true"),
        ("socket", "127.0.0.1:8022 async full"),
        ("transfer", "8000 XML default"),
    ]
    bare = park_again("127.0.0.1:8022 async full", "", 1, resumes=False)
    assert "transfer" not in bare
    assert "socket_resume" not in bare


@pytest.mark.parametrize(
    "data",
    ["", "127.0.0.1:8022", "a:1 async full^hangup:", "a:1 async full'", "a b:1 async full"],
)
def test_no_other_data_is_put_into_that_line(data: str) -> None:
    assert not SOCKET_DATA.fullmatch(data)
