"""Whole calls with a model that calls functions when it should speak."""

from __future__ import annotations

import json
from typing import Any

from esl_controller.call.tool_budget import CALLS, ROUNDS
from esl_controller.call.tool_calls import TOO_MANY
from esl_controller.simulator.model import ModelSession, ScriptedCall
from tests.calls.rig import greeted, rig
from tests.calls.test_talking import outputs, replies, say
from tests.session.test_session import frames
from tests.waiting import until

SECRETARY = '[tools]\nenabled = ["send_dtmf", "end_call"]\n[limits]\nidle_s = 0'


class Looping(ModelSession):
    """Presses keys without end, a few at a time, wherever it may call functions."""

    pressed = 0

    def calls_due(self) -> list[ScriptedCall]:
        """The next ones, once the caller has spoken."""
        items = [item.body for item in self.conversation.items]
        if not any(item.get("role") == "user" for item in items):
            return []
        self.pressed += 1
        return [ScriptedCall(1, "send_dtmf", json.dumps({"digits": str(self.pressed)}))]


class Stubborn(ModelSession):
    """Calls ``end_call`` in place of a farewell, once, though it may call nothing."""

    said_goodbye = False
    calls = 0

    async def _answer(self, metadata: dict[str, str] | None, *, calls: bool) -> None:
        await super()._answer(metadata, calls=True)

    def calls_due(self) -> list[ScriptedCall]:
        """Twice, after the caller's first turn."""
        items = [item.body for item in self.conversation.items]
        if not any(item.get("role") == "user" for item in items) or self.calls == 2:
            return []
        self.calls += 1
        return [ScriptedCall(1, "end_call")]


async def test_a_model_that_calls_functions_without_end_speaks_to_the_caller() -> None:
    async with rig(secretary=SECRETARY) as of:
        of.model.session = Looping
        call = await of.switch.call()
        await greeted(call)
        before = len(frames(call))
        await say(call)
        await until(lambda: len(replies(of)) == 1 + ROUNDS + 1, 20)
        await call.wait_heard()
        await greeted(call)
        assert frames(call)[before:].any()
        assert replies(of)[-1]["tool_choice"] == "none"
        done = [each for each in outputs(of) if each == {"status": "done"}]
        assert len(done) == ROUNDS <= CALLS
        assert {"error": TOO_MANY} not in outputs(of)
        call.hangup()


async def test_a_farewell_is_heard_from_a_model_that_calls_end_call_again() -> None:
    async with rig(secretary=SECRETARY) as of:
        of.model.session = Stubborn
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        assert await call.ended(timeout=15) == "NORMAL_CLEARING"
        goodbyes = [each for each in replies(of) if "Say exactly this" in told(each)]
        assert len(goodbyes) == 3, "the greeting, and the farewell twice"
        assert len(of.model.sessions[0].record.spoken) == 2


def told(reply: dict[str, Any]) -> str:
    """What the model was asked to say."""
    return str(reply.get("instructions", ""))
