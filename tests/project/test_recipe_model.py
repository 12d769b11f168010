"""CONTRIBUTING.md's recipe "Add a model", followed with a toy: a model that hums.

The toy is registered in the factory and named in the settings, and nothing else is touched. The
doctor's probe and a whole call must get along with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from esl_controller.agents import factory
from esl_controller.agents.base import Counters, Model
from esl_controller.call.agent import Abilities, Called, History
from esl_controller.call.events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentFailed,
    AgentReady,
    ResponseDone,
    ResponseStarted,
    Usage,
)
from esl_controller.config.loading import load
from esl_controller.config.settings import AgentSettings, Loaded
from esl_controller.diagnostics.doctor import controller_checks
from esl_controller.diagnostics.doctor.case import Case
from esl_controller.diagnostics.doctor.report import Status
from esl_controller.secretaries.persona import Persona
from esl_controller.server.app import running
from esl_controller.simulator.freeswitch import SwitchStandIn
from media.frame import encode, pcm
from tests.calls.rig import greeted
from tests.paths import ROOT
from tests.waiting import until

AUDIO: Final = pcm(8000)
HUM: Final = encode(
    (8000 * np.sin(np.arange(8000) * 2 * np.pi * 200 / 8000)).astype(np.int16), "pcm"
)


class HummingAgent:
    """An ``Agent`` that hums for a second whenever it is to speak, and hears nothing."""

    input = output = AUDIO
    abilities = Abilities()
    unreported = Usage()

    def __init__(self, refuses: bool) -> None:
        self.counters = Counters()
        self._refuses = refuses
        self._asked: asyncio.Queue[int] = asyncio.Queue()
        self._responses = 0

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        if self._refuses:
            on_event(AgentFailed("it has a sore throat", permanent=True))
            return
        on_event(AgentReady())
        while True:
            name = f"hum-{await self._asked.get()}"
            on_event(ResponseStarted(name))
            on_event(AgentAudio(name, HUM))
            on_event(AgentAudioDone(name))
            on_event(ResponseDone(name, "completed"))

    def respond(self, instructions: str = "") -> None:
        self._responses += 1
        self._asked.put_nowait(self._responses)

    def hear(self, audio: bytes) -> None:
        self.counters.appends += 1

    def cancel(self) -> None:
        pass

    def truncate(self, item: str, heard_ms: int) -> None:
        pass

    def forget(self, item: str) -> None:
        pass

    def tool_result(self, call: Called, *, last: bool = False) -> None:
        pass

    def tell(self, text: str) -> None:
        pass


class HummingModel:
    """The toy's ``Model``."""

    abilities = HummingAgent.abilities
    service = "the kitchen"

    def __init__(self, settings: AgentSettings) -> None:
        self.refuses = settings.voice == "hoarse"

    def agent(self, persona: Persona, history: History, *, g711: bool) -> HummingAgent:
        return HummingAgent(self.refuses)

    async def loaded(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def remedy(self, reason: str) -> str:
        return "honey"


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(factory.MODELS, "humming", HummingModel)


def humming(**environment: str) -> Loaded:
    """Settings with the toy's kind. (The schema would refuse it: that is step 3 of the recipe.)"""
    ports = {f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")}
    no_record = {"ESL_CONTROLLER_STORE_URL": ""}
    loaded = load(None, {"OPENAI_API_KEY": "sk-test", **ports, **no_record, **environment})
    agent = loaded.settings.agent.model_copy(update={"kind": "humming"})
    return replace(loaded, settings=loaded.settings.model_copy(update={"agent": agent}))


@contextlib.asynccontextmanager
async def case(**environment: str) -> AsyncIterator[Case]:
    async with AsyncExitStack() as stack:
        yield Case(humming(**environment), "8000", "default", stack)


@pytest.mark.usefixtures("_registered")
async def test_the_factory_makes_it() -> None:
    model: Model = factory.make_model(humming().settings.agent)
    assert isinstance(model, HummingModel)


@pytest.mark.usefixtures("_registered")
async def test_the_doctor_probes_it() -> None:
    async with case() as well, case(ESL_CONTROLLER_AGENT_VOICE="hoarse") as ill:
        found = await controller_checks.model(well)
        assert (found.status, "the kitchen confirmed a session" in found.found) == (Status.OK, True)
        found = await controller_checks.model(ill)
        assert found.status is Status.FAILED
        assert "it has a sore throat" in found.found
        assert found.remedy == "honey"


@pytest.mark.usefixtures("_registered")
async def test_a_caller_hears_it() -> None:
    async with (
        running(humming().settings) as controller,
        SwitchStandIn(f"127.0.0.1:{controller.calls.port}") as switch,
    ):
        call = await switch.call()
        await greeted(call)
        call.hangup()
        await until(lambda: not controller.calls.calls)


def recipe() -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = re.search(r"^### Add a model\n(.*?)(?=^##)", text, re.M | re.S)
    assert found, "CONTRIBUTING.md has no such recipe"
    return found[1]


def test_the_recipe_needs_three_files_which_exist() -> None:
    steps = re.findall(r"^\d\. `([^`]+)`", recipe(), re.M)
    assert len(steps) == 3
    named = re.findall(r"`((?:esl_controller|tests)/[^`]+)`", recipe())
    assert set(steps) <= set(named)
    assert all((ROOT / path).exists() for path in named), named
