"""A real FreeSWITCH, the real controller, the model stand-in, and callers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from structlog.testing import capture_logs

from esl_controller.config.loading import load
from esl_controller.config.settings import Settings
from esl_controller.freeswitch.leg import Leg, event_socket
from esl_controller.server.app import Controller, running
from esl_controller.simulator.model import ModelStandIn
from esl_controller.simulator.model_base.record import SessionRecord, Spoken
from esl_controller.store.records import StoredCall
from media import sounds
from media.frame import FRAME_MS, Samples, samples
from media.lane import Clock
from media.resample import convert
from tests.live.audio import LOUD, rms
from tests.live.freeswitch import PASSWORD, FreeSwitch

CODECS = {
    "PCMU": "PCMU",
    "G722": "G722",
    "L16": "L16@16000h@20i",
    "opus": "opus@48000h@20i",
}
RATES = {"PCMU": 8000, "G722": 16000, "L16": 16000, "opus": 48000}
ENDED_S = 5.0
_caller_ports = itertools.cycle(range(13_000, 16_000, 4))
CATCH_UP = 5  # frames
PAUSE_S = 0.06  # between two frames: the caller hears nothing, where files are played


@cache
def words(name: str, rate: int) -> Samples:
    """Bundled words at ``rate`` Hz; computed once, for it takes longer than a frame."""
    values, own_rate = sounds.load(name)
    return convert(values, own_rate, rate)


class Phone:
    """A caller: hears, speaks, hangs up. Made by ``Live.phone``."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.loud: list[float] = []  # when each frame of speech came
        self._frame = asyncio.Event()
        leg.on_frame = self._hear

    def _hear(self, frame: bytes) -> None:
        if rms(samples(frame)) > LOUD:
            self.loud.append(self.leg.times[-1])
        self._frame.set()

    async def until(self, reached: Callable[[], bool], timeout: float) -> None:
        """Wait for something that is looked at with each frame. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not reached():
                self._frame.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FRAME_MS / 1000):
                        await self._frame.wait()

    async def hears_speech(self, timeout: float = 8.0) -> float:
        """Wait for more speech than up to now; when it came."""
        before = len(self.loud)
        await self.until(lambda: len(self.loud) > before, timeout)
        return self.loud[before]

    async def hears_model(self, model: ModelStandIn, session: int, timeout: float = 15.0) -> float:
        """Wait for speech of this session of the model: sentences of ours may come before it, where
        the model is not at hand at once. When it came."""
        sessions = model.sessions
        await self.until(
            lambda: len(sessions) > session and bool(sessions[session].record.spoken), timeout
        )
        return await self.hears_speech()

    async def hears_silence(self, seconds: float = 0.8, timeout: float = 20.0) -> float:
        """Wait until the last speech is so long ago; when it was."""
        await self.until(
            lambda: bool(self.loud) and time.monotonic() - self.loud[-1] >= seconds, timeout
        )
        return self.loud[-1]

    async def says(self, name: str) -> float:
        """Say bundled words; when the last of them was said."""
        values = words(name, self.leg.rate)
        self.leg.say(values, self.leg.rate)
        await self.until(lambda: not self.leg.speaking, 15)
        quiet = values.size - 1 - int(np.flatnonzero(np.abs(values.astype(int)) > 300)[-1])
        return time.monotonic() - FRAME_MS / 1000 - quiet / self.leg.rate

    async def ended(self, timeout: float = 15.0) -> str:
        """Wait for the end of the call; its cause."""
        async with asyncio.timeout(timeout):
            return await asyncio.shield(self.leg.ended)

    def heard(self, since: float = 0.0, until: float = math.inf) -> Samples:
        """All that was heard between two moments; where no frame came, there was silence."""
        parts: list[bytes] = []
        times = self.leg.times
        silence = bytes(2 * self.leg.rate * FRAME_MS // 1000)
        last = None
        for index, frame in enumerate(self.leg.frames):
            if not since <= times[index] < until:
                continue
            if last is not None:
                # If this process was late, the frames of its pause all come at once after it.
                later = min(index + CATCH_UP, len(times) - 1)
                missing = times[later] - last - (later - index) * FRAME_MS / 1000
                if missing > PAUSE_S:
                    parts.append(silence * int(missing * 1000 / FRAME_MS - 0.5))
            parts.append(frame)
            last = times[index]
        return samples(b"".join(parts))


@dataclass
class Live:
    """What a test gets. ``log``: the controller's lines as structlog has them."""

    switch: FreeSwitch
    controller: Controller
    model: ModelStandIn
    settings: Settings
    log: list[Any]

    @contextlib.asynccontextmanager
    async def phone(self, codec: str = "PCMU") -> AsyncIterator[Phone]:
        """A SIP caller that has dialled 8000 and was answered; hangs up at the end."""
        async with dialled(self.switch, codec) as phone:
            yield phone

    def warnings(self) -> list[str]:
        """What the log warns of, as "event: reason"."""
        return [
            f"{line['event']}: {line.get('reason', '')}"
            for line in self.log
            if line["log_level"] not in ("debug", "info")
        ]

    def over(self) -> list[dict[str, Any]]:
        """The last line of each call."""
        return [line for line in self.log if line["event"] == "call over"]

    def record(self, session: int = 0) -> SessionRecord:
        """What the model noted of a call."""
        return self.model.sessions[session].record

    def spoken(self, item: int, session: int = 0) -> Spoken:
        """The model's utterances in their order."""
        return list(self.record(session).spoken.values())[item]

    async def stored(self, number: int = 0) -> StoredCall:
        """What is written down of a call, the newest first."""
        store = self.controller.store
        assert store is not None
        await store.flush()
        call = await store.call((await store.recent(10))[number].call_uuid)
        assert call is not None
        return call

    async def all_over(self) -> None:
        """Wait until no call is left, here and on the switch. Raises TimeoutError."""
        await until(lambda: not self.controller.calls.calls)
        await until_async(self._no_channel)

    async def _no_channel(self) -> bool:
        return await asyncio.to_thread(self.switch.channels) == 0


@contextlib.asynccontextmanager
async def dialled(
    switch: FreeSwitch, codec: str = "PCMU", clock: Clock | None = None, number: str = "8000"
) -> AsyncIterator[Phone]:
    """A SIP caller on the line with an extension."""
    settings = caller_settings(switch)
    async with event_socket(settings.freeswitch) as connection:
        leg = Leg(connection, settings.media, clock)
        failure = await leg.dial(dial_string(switch, number), variables(codec), timeout=10)
        assert not failure, failure
        try:
            async with leg.lane():
                yield Phone(leg)
        finally:
            await leg.hang_up()  # a test that fails leaves no call to the next one


def dial_string(switch: FreeSwitch, number: str = "8000") -> str:
    """An extension over SIP, from one profile of the switch to the other."""
    return f"sofia/caller/{number}@127.0.0.1:{switch.sip_port}"


def variables(codec: str) -> dict[str, str]:
    """What makes a caller speak ``codec``."""
    return {"absolute_codec_string": CODECS[codec]}


def environment(switch: FreeSwitch, base_url: str, **settings: str) -> dict[str, str]:
    """The settings of a controller at the switch's dialplan, as variables."""
    first = random.randrange(10_000, 12_000)
    return {
        "OPENAI_API_KEY": "sk-live",
        "FREESWITCH_PASSWORD": PASSWORD,
        "ESL_CONTROLLER_AGENT_BASE_URL": base_url,
        "ESL_CONTROLLER_ESL_PORT": str(switch.controller_port),
        "ESL_CONTROLLER_FREESWITCH_PORT": str(switch.event_port),
        "ESL_CONTROLLER_MEDIA_PORT": "0",
        "ESL_CONTROLLER_ESL_MAX_LOAD": "0",
        "ESL_CONTROLLER_MEDIA_LANE_PORTS": f"{first}-{first + 499}",
        "ESL_CONTROLLER_WEB_PORT": "0",
        "ESL_CONTROLLER_WEBHOOK_ALLOW": "127.0.0.0/8",  # the tests' own servers
        **{f"ESL_CONTROLLER_{name}": value for name, value in settings.items()},
    }


def caller_settings(switch: FreeSwitch) -> Settings:
    """For one leg of our own: lane ports that neither a controller nor another leg uses."""
    first = next(_caller_ports)
    lanes = {"MEDIA_LANE_PORTS": f"{first}-{first + 3}"}
    return load(None, environment(switch, "", **lanes)).settings


@contextlib.asynccontextmanager
async def live(
    switch: FreeSwitch,
    model: Mapping[str, Any] | None = None,
    secretary: str = "",
    **settings: str,
) -> AsyncIterator[Live]:
    """Run a controller and a model at the switch; ``settings`` without their prefix,
    ``secretary`` the text of its file.

    Afterwards no call, task, lane or bound lane port may be left, here or on the switch.
    """
    before = asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "default.toml").write_text(secretary)
        settings = {
            "STORE_URL": f"sqlite:///{folder}/calls.db",
            "SECRETARIES_FOLDER": str(folder),
            **settings,
        }
        standin = await stack.enter_async_context(ModelStandIn(**(model or {})))
        loaded = load(None, environment(switch, standin.base_url, **settings)).settings
        lanes = range(loaded.media.lane_ports.first, loaded.media.lane_ports.last + 1)
        taken = bound_ports(lanes)
        with capture_logs() as log:
            async with running(loaded) as controller:
                of = Live(switch, controller, standin, loaded, log)
                yield of
                await of.all_over()
                assert not controller.ports.taken, "a lane port is left"
                assert not controller.clock.lanes, "a lane is left on the clock"
    await until(lambda: bound_ports(lanes) == taken)
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before
    assert not left, f"tasks are left: {left}"


def bound_ports(ports: range) -> set[int]:
    """Those of the UDP ports that any process of this machine has bound."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return {int(line.split()[1].rpartition(":")[2], 16) for line in lines} & set(ports)


async def until(reached: Callable[[], bool], timeout: float = ENDED_S) -> None:
    """Wait for something that no event tells. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_async(reached: Callable[[], Any], timeout: float = ENDED_S) -> None:
    """The same for a question that takes time."""
    async with asyncio.timeout(timeout):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
