"""CONTRIBUTING.md's recipe "Add a model", followed with a toy: a model that hums.

The toy is registered in the factory, and has its kind and its key in the settings; nothing else is
touched. The doctor's probe and a whole call must get along with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final, Literal

import numpy as np
import pytest
from pydantic import Field, SecretStr

from esl_controller.agents import factory
from esl_controller.agents.base import Counters, Model
from esl_controller.call.agent import Called, History, Recovery, Usage
from esl_controller.call.agent_events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentFailed,
    AgentReady,
    ResponseDone,
    ResponseStarted,
)
from esl_controller.config import loading, model_settings, settings
from esl_controller.config.model_settings import AgentSettings, OfKind
from esl_controller.config.setting_types import Secret
from esl_controller.config.settings import Loaded, Settings, SettingsError
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
    takes_turns = False
    unreported = Usage()

    def __init__(self, refuses: bool) -> None:
        self.counters = Counters()
        self._refuses = refuses
        self._asked: asyncio.Queue[int] = asyncio.Queue()
        self._responses = 0

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        if self._refuses:
            on_event(AgentFailed("it has a sore throat", Recovery.NEXT_MODEL))
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

    service = "the kitchen"

    def __init__(self, settings: AgentSettings, patience_s: float) -> None:
        self.refuses = settings.voice == "hoarse"

    def agent(self, persona: Persona, history: History, *, g711: bool) -> HummingAgent:
        return HummingAgent(self.refuses)

    async def loaded(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def remedy(self, reason: str) -> str:
        return "honey"


class HummingSettings(AgentSettings):
    """Step 3 of the recipe: its kind, and a key of its own."""

    kind: Literal["auto", "standin", "humming"] = "auto"  # type: ignore[assignment]
    honey: Secret = Field(
        default=SecretStr(""), description="Its key.", json_schema_extra={"variable": "HONEY"}
    )


class PlantedSettings(Settings):
    """All settings, the toy's among them."""

    agent: HummingSettings = HummingSettings()


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(factory.MODELS, "humming", HummingModel)
    monkeypatch.setitem(model_settings.KINDS, "humming", OfKind("bee-1", key="honey"))
    for module in (loading, settings):
        monkeypatch.setattr(module, "Settings", PlantedSettings)


def humming(honey: str = "sweet-1234", **environment: str) -> Loaded:
    """Settings with the toy's kind and key."""
    ports = dict.fromkeys(("ESL_PORT", "MEDIA_PORT", "WEB_PORT"), "0")
    given = ports | {"STORE_URL": "", "AGENT_KIND": "humming"} | environment
    prefixed = {f"{settings.PREFIX}{name}": value for name, value in given.items()}
    return loading.load(None, {"HONEY": honey, **prefixed})


@contextlib.asynccontextmanager
async def case(**environment: str) -> AsyncIterator[Case]:
    async with AsyncExitStack() as stack:
        yield Case(humming(**environment), "8000", "default", stack)


def test_its_key_is_asked_for_and_masked() -> None:
    with pytest.raises(SettingsError, match='"humming" needs a key: set HONEY in the environment'):
        humming(honey="")
    assert "sweet-1234" in settings.secrets(humming().settings)
    assert humming().settings.agent.resolved_model == "bee-1"


async def test_the_factory_makes_it() -> None:
    model: Model = factory.make_model(humming().settings.agent)
    assert isinstance(model, HummingModel)


async def test_the_doctor_probes_it() -> None:
    async with case() as well, case(AGENT_VOICE="hoarse") as ill:
        found = await controller_checks.model(well)
        assert (found.status, "the kitchen confirmed a session" in found.found) == (Status.OK, True)
        found = await controller_checks.model(ill)
        assert found.status is Status.FAILED
        assert "it has a sore throat" in found.found
        assert found.remedy == "honey"


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
