"""Whole calls whose secretary names servers in the controller's own network."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from structlog.testing import capture_logs

from esl_controller.simulator.model import ScriptedCall
from tests.calls.rig import greeted, rig
from tests.calls.test_talking import outputs, say, server
from tests.waiting import until

SECRETARY = """
[events]
message_url = "{url}"
call_ended_url = "{url}"
[tools]
enabled = ["take_message"]
[[tools.webhooks]]
name = "find"
description = "Find it."
url = "{url}"
"""
MESSAGE = '{"name": "Ana", "text": "Call back."}'


async def test_neither_a_function_nor_a_delivery_reaches_what_the_settings_do_not_allow() -> None:
    script = (ScriptedCall(1, "find"), ScriptedCall(1, "take_message", MESSAGE))
    with capture_logs() as logs:
        async with (
            server() as told,
            rig(
                settings={"WEBHOOK_ALLOW": "10.0.0.0/8"},
                model={"script": script},
                secretary=SECRETARY.format(url=told.url),
            ) as of,
        ):
            call = await of.switch.call()
            await greeted(call)
            await say(call)
            await until(lambda: len(outputs(of)) == 2)
            not_allowed = {"error": "find failed: not reached: its address is not allowed"}
            assert not_allowed in outputs(of)
            call.hangup()
            await of.no_calls()
            await until(lambda: len(refusals(logs)) == 3)
            assert not told.asked
    assert refusals(logs) == [
        ("a webhook function may not be asked", ""),
        ("delivery failed", "call_ended"),
        ("delivery failed", "message"),
    ]


def refusals(logs: list[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    """The lines that say that an address is not allowed, one for each event and kind."""
    why = "127.0.0.1 is no public address"
    said = {(line["event"], line.get("kind", "")) for line in logs if why in line.get("reason", "")}
    return sorted(said)
