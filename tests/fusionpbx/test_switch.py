"""What is asked of the switch, and what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from esl_controller.config.settings import FreeswitchSettings
from esl_controller.freeswitch import wire
from esl_controller.fusionpbx import switch
from esl_controller.fusionpbx.config import Config, EventSocket
from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.plan import wanted
from esl_controller.fusionpbx.rows import Domain
from esl_controller.fusionpbx.switch import Step
from esl_controller.simulator.freeswitch import SwitchStandIn, api

DOMAIN = Domain(UUID("6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01"), "pbx.example.net")
ROW = wanted(DOMAIN, "8000", secretary_uuid="c8e3b7d4-21f9-4f6e-b1a7-5e2d9c4f8a02")
FILES = Config(
    *(Path("c"), "", 1, "", "", "", "prefer", "file", Path("/var/cache/fusion pbx")),
    event_socket=EventSocket(),
)
MEMCACHE = replace(FILES, cache_method="memcache")
OTHER = (
    '<extension name="other"><condition field="destination_number" expression="^8">'
    '<action application="answer"/></condition></extension>'
)


class Switch:
    """Answers commands, and keeps them."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def command(self, text: str) -> str:
        self.asked.append(text)
        return next(
            (answer for start, answer in self.answers.items() if text.startswith(start)), "+OK"
        )


@pytest.mark.parametrize(
    ("xml", "right", "text"),
    [
        (ROW.xml, True, "the switch serves it"),
        (OTHER.replace("^8", "^7") + ROW.xml, True, "the switch serves it"),
        (ROW.xml + OTHER, True, "the switch serves it"),
        (OTHER + ROW.xml, False, "to another extension: other"),
        (ROW.xml.replace("8022", "8021"), False, "another version"),
        ("", False, "does not serve 8000"),
    ],
)
async def test_what_is_served(xml: str, right: bool, text: str) -> None:
    there = Switch({"api xml_locate": f'<context name="{DOMAIN.name}">{xml}</context>'})
    step = await switch.look(there.command, ROW)
    assert step.right is right
    assert text in step.text
    assert there.asked == ["api xml_locate dialplan context name pbx.example.net"]


@pytest.mark.parametrize(("xml", "right"), [(ROW.xml, False), (OTHER, True), ("", True)])
async def test_what_is_served_no_longer(xml: str, right: bool) -> None:
    there = Switch({"api xml_locate": f"<context>{xml}</context>"})
    assert (await switch.look(there.command, ROW, installed=False)).right is right


async def test_a_switch_that_does_not_say() -> None:
    step = await switch.look(Switch({"api": "-ERR can't find"}).command, ROW)
    assert step.right is None
    assert "esl-controller call 8000 --context pbx.example.net" in step.text


@pytest.mark.parametrize("context", ["a\napi shutdown", "a b", "global", ""])
async def test_nothing_else_gets_into_a_command(context: str) -> None:
    there = Switch({})
    with pytest.raises(FusionError):
        await switch.look(there.command, replace(ROW, context=context))
    with pytest.raises(FusionError):
        await switch.memcached(there.command, context)
    [step] = [each async for each in switch.forget(there.command, MEMCACHE, context)]
    assert step.right is False
    assert there.asked == []


async def test_memcache_forgets_one_key() -> None:
    for answer, right in (("+OK", True), ("-ERR NOT FOUND", True), ("-ERR gone\x1b", False)):
        there = Switch({"api memcache": answer})
        steps = [each async for each in switch.forget(there.command, MEMCACHE, "a")]
        assert [step.right for step in steps] == [right, True]
        assert there.asked[0] == "api memcache delete dialplan:a"
        assert "\x1b" not in steps[0].text


async def test_what_memcache_holds() -> None:
    """Encoded as FusionPBX's functions/cache.lua does."""
    there = Switch({"api memcache get dialplan:a": "<x>it&#39;s \\\\d</x>"})
    found = await switch.memcached(there.command, "a")
    assert found is not None
    assert found.text == "<x>it's \\d</x>"
    assert await switch.memcached(Switch({"api": "-ERR NOT FOUND"}).command, "a") is None
    with pytest.raises(FusionError, match="mod_memcache"):
        await switch.memcached(Switch({"api": "-ERR memcache Command not found!"}).command, "a")


async def test_reload() -> None:
    assert await switch.reload(Switch({}).command) == Step(True, "reloadxml")
    assert (await switch.reload(Switch({"api reloadxml": "-ERR"}).command)).right is False


def test_by_hand() -> None:
    assert list(switch.by_hand(FILES, ["a"])) == [
        "rm -f '/var/cache/fusion pbx/dialplan.a'",
        "fs_cli -x reloadxml",
    ]
    assert next(switch.by_hand(MEMCACHE, ["a"])) == "fs_cli -x 'memcache delete dialplan:a'"
    assert "flush the cache in FusionPBX" in next(switch.by_hand(FILES, ["global"]))


async def test_the_event_socket_of_fusionpbx_or_ours() -> None:
    async with SwitchStandIn(event_socket=("127.0.0.1", 0), password="theirs") as standin:
        assert standin.event_socket
        port = standin.event_socket[1]
        wrong = FreeswitchSettings(port=1)
        theirs = replace(FILES, event_socket=EventSocket("127.0.0.1", port, "theirs"))
        async with switch.commands(theirs, wrong) as command:
            assert (await command(wire.api("status"))).startswith("UP")
        ours = FreeswitchSettings.model_validate({"port": port, "password": "theirs"})
        async with switch.commands(FILES, ours) as command:
            assert (await command(wire.api("status"))).startswith("UP")
    with pytest.raises(FusionError, match="Event Socket"):
        async with switch.commands(FILES, wrong):
            pass


async def test_a_connection_that_is_lost_is_one_line() -> None:
    async with SwitchStandIn(event_socket=("127.0.0.1", 0), password="ClueCon") as standin:
        assert standin.event_socket
        there = FreeswitchSettings(port=standin.event_socket[1])
        async with switch.commands(FILES, there) as command:
            await standin.close()
            with pytest.raises(FusionError, match="was lost"):
                await command(wire.api("status"))


async def test_a_switch_that_hangs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    commands = vars(api)
    monkeypatch.delitem(commands["COMMANDS"], "reloadxml")
    monkeypatch.setitem(commands["SLOW_COMMANDS"], "reloadxml", never)
    async with SwitchStandIn(event_socket=("127.0.0.1", 0), password="ClueCon") as standin:
        assert standin.event_socket
        there = FreeswitchSettings(port=standin.event_socket[1])
        async with asyncio.timeout(10), switch.commands(FILES, there) as command:
            monkeypatch.setattr(switch, "ANSWER_S", 0.2)  # it took its time to connect
            with pytest.raises(FusionError, match=r"did not answer 'api reloadxml' in 0\.2 s"):
                await switch.reload(command)
