"""The agent of one call: what the kind of its model changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from esl_controller.agents.base import Counters
from esl_controller.agents.chain import ChainModel
from esl_controller.call import events as ev
from esl_controller.call.agent import Usage
from esl_controller.call.agent_events import (
    AgentEvent,
    AgentReady,
    CallerTranscript,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.records import Turn
from esl_controller.config.model_settings import AgentSettings
from esl_controller.freeswitch.channel import Channel
from esl_controller.secretaries.persona import Persona
from esl_controller.session.agent_session import AgentSession
from media.frame import pcm
from tests.call.world import secretary

SILENCE_MS = 700
PERSONA = Persona("m", "v", "en", "Be brief.")


class Clock:
    """The call's, set by hand."""

    time = 10.0

    def now(self) -> float:
        return self.time


class Agent:
    """It hears one turn of the caller, of four seconds with the silence after it."""

    input = output = pcm(24000)
    unreported = Usage()

    def __init__(self, clock: Clock, *, takes_turns: bool) -> None:
        self.counters = Counters()
        self.takes_turns = takes_turns
        self._clock = clock

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        on_event(AgentReady())
        on_event(SpeechStarted(0, "u1"))
        self._clock.time = 14.0
        on_event(SpeechStopped(0, "u1"))
        on_event(CallerTranscript("u1", "Hello?"))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("takes_turns", [False, True])
async def test_each_connection_says_whether_its_model_takes_turns_itself(
    before: bool, takes_turns: bool
) -> None:
    """One that does reports the end of the caller's words themselves, not of a silence of ours."""
    clock = Clock()
    made = iter((before, takes_turns))
    model: Any = SimpleNamespace(agent=lambda *_, **__: Agent(clock, takes_turns=next(made)))
    put: list[Any] = []
    reported: list[ev.Event] = []
    deps: Any = SimpleNamespace(
        models=(ChainModel("[agent]", model, AgentSettings()),),
        record=SimpleNamespace(put=put.append),
        settings=SimpleNamespace(webhook=SimpleNamespace(secret=AgentSettings().api_key)),
        http=None,
    )
    runner: Any = SimpleNamespace(
        report=reported.append, fail=print, spawn=lambda run: asyncio.create_task(run)
    )
    who = secretary(turn_detection={"silence_ms": SILENCE_MS})
    speech: Any = SimpleNamespace()
    fixed: Any = clock
    channel = Channel.parse({"Unique-ID": "c0ffee00-0000-4000-8000-000000000000"})
    session = AgentSession(channel, who, PERSONA, deps, speech, runner, fixed)
    session.connect(channel, 0)  # and replaced before it has said anything
    session.connect(channel, 0)
    await asyncio.sleep(0)
    assert reported[0] == AgentReady(takes_turns=takes_turns)
    (turn,) = (change for change in put if isinstance(change, Turn))
    assert turn.ended_at == pytest.approx(14.0 - (0 if takes_turns else SILENCE_MS / 1000))
