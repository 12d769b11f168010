"""A whole controller between the two stand-ins, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esl_controller.config.loading import load
from esl_controller.server.app import Controller, running, settle
from esl_controller.simulator.freeswitch import CallStandIn, SwitchStandIn
from esl_controller.simulator.live import LiveStandIn
from esl_controller.simulator.model import ModelStandIn
from esl_controller.simulator.model_base.record import SessionRecord
from media import sounds
from media.frame import Samples
from tests.waiting import until


@dataclass
class Rig:
    """The three parts."""

    controller: Controller
    switch: SwitchStandIn
    model: ModelStandIn

    async def record(self, call_uuid: str) -> dict[str, Any]:
        """What is written down of a call."""
        store = self.controller.store
        assert store is not None
        await store.flush()
        stored = await store.call(call_uuid)
        assert stored is not None
        return asdict(stored)

    async def no_lanes(self, timeout: float = 5.0) -> None:
        """Wait until the controller speaks to nobody any more."""
        await until(lambda: not self.controller.clock.lanes, timeout)

    async def no_calls(self, timeout: float = 5.0) -> None:
        """Wait until the controller holds no call any more."""
        await until(lambda: not self.controller.calls.calls, timeout)


@contextlib.asynccontextmanager
async def rig(
    *,
    settings: Mapping[str, str] | None = None,
    model: Mapping[str, Any] | None = None,
    live: LiveStandIn | None = None,
    secretary: str = "",
    file: str = "",
    **switch: Any,
) -> AsyncIterator[Rig]:
    """Run all three; ``settings`` as environment without its prefix ("MEDIA_RATE": "8k"), ``file``
    the text of the settings file, ``live`` for another model to talk to, ``secretary`` as the text
    of its file.

    Afterwards no task and no lane port of the controller may be left.
    """
    if gc.get_freeze_count():
        _hide_what_there_is()  # what earlier tests left, and not what this one may leave open
    before = asyncio.all_tasks()
    short = {"greeting": "caller_interrupts", "think_ms": 20}
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if secretary:
            (folder / "default.toml").write_text(secretary)
        standin = await stack.enter_async_context(ModelStandIn(**{**short, **(model or {})}))
        environment = {
            "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
            "ESL_CONTROLLER_SECRETARIES_FOLDER": str(folder),
            "OPENAI_API_KEY": "sk-test",
            "ESL_CONTROLLER_WEBHOOK_ALLOW": "127.0.0.0/8",
            "ESL_CONTROLLER_AGENT_BASE_URL": standin.base_url,
            **(await _live(stack, live) if live is not None else {}),
            **{f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")},
            "ESL_CONTROLLER_ESL_MAX_LOAD": "0",  # the stand-ins' work is in this process, too
            **{f"ESL_CONTROLLER_{name}": value for name, value in (settings or {}).items()},
        }
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "esl-controller.toml"
        path.write_text(file)
        async with running(load(path, environment).settings) as controller:
            await _settled(controller)
            socket = f"127.0.0.1:{controller.calls.port}"
            async with SwitchStandIn(socket, **switch) as pbx:
                yield Rig(controller, pbx, standin)
        assert not controller.calls.calls
        assert not controller.ports.taken, "a lane port is left"
        assert not controller.clock.lanes, "a lane is left on the clock"
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before
    assert not left, f"tasks are left: {left}"


async def _settled(controller: Controller) -> None:
    """Once a process, as ``serve`` does, when all libraries are there."""
    if not gc.get_freeze_count():
        await controller.loaded()
        _hide_what_there_is()


def _hide_what_there_is() -> None:
    """Else a collection in the midst of a call stops the clock for 0.3 s and more."""
    gc.collect()
    settle()


async def _live(stack: contextlib.AsyncExitStack, live: LiveStandIn) -> dict[str, str]:
    await stack.enter_async_context(live)
    return {"ESL_CONTROLLER_AGENT_KIND": "live", "ESL_CONTROLLER_AGENT_BASE_URL": live.base_url}


def words(name: str = "caller_interrupts") -> tuple[Samples, int]:
    """What a caller says, and its rate."""
    return sounds.load(name, "en")


async def greeted(call: CallStandIn, timeout: float = 10.0) -> None:
    """Wait until the greeting has been heard to its end."""
    await call.wait_heard(timeout=timeout)
    await call.wait_silence(0.5, timeout=timeout)


def words_of(name: str) -> str:
    """The text of bundled speech."""
    return sounds.transcript(name, "en")


async def asked(record: SessionRecord, kind: str, timeout: float = 10.0) -> dict[str, Any]:
    """Wait until the model was sent an event of this kind; the first one."""
    of_kind = [e for e in record.client_events if e["type"] == kind]
    async with asyncio.timeout(timeout):
        while not of_kind:
            await asyncio.sleep(0.01)
            of_kind = [e for e in record.client_events if e["type"] == kind]
    return of_kind[0]
