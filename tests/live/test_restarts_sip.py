"""Several SIP calls lose their controller at once: what each caller hears of it.

What is measured is what reached the callers' ears: the time between the last frame of ours before a
restart and the first one after it. ``RESTART_CALLS`` says how many calls (6); 30 want a machine
that has nothing else to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from esl_controller.call.instructions import CONTINUE
from esl_controller.freeswitch.dialplan import TONE_HZ, WAITS_MS
from esl_controller.simulator.model import ModelStandIn
from esl_controller.store import reading
from esl_controller.store.records import StoredCall
from media import sounds
from media.frame import FRAME_MS, Samples, samples
from media.lane import Clock
from tests.live.audio import LOUD, is_silent, is_tone, match, rms, through_telephone
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch, free_port
from tests.live.processes import Serving, serving, supervise
from tests.live.rig import Phone, dialled, environment, until, until_async, words
from tests.live.test_ladder import add_extension, no_channel
from tests.live.test_restart import asked, history

CALLS = int(os.environ.get("RESTART_CALLS", "6"))
STARTED_AGAIN_MS, STANDING_BY_MS, STOPPED_MS = 3000, 700, 400  # at most, of 95 % of the calls
BETWEEN_S = 0.25  # calls dialled
WRITTEN_S = 2.0  # what was said is written down, on a busy machine too
ON_THE_WAY_S = 0.15  # of what was sent, in the caller's jitter buffer too
MOVED_S = 15.0
LAST_WORD = 1600  # samples


@dataclass
class Callers:
    """Those who are on the line, and what a restart has to do with them."""

    switch: FreeSwitch
    model: ModelStandIn
    settings: dict[str, str]
    folder: Path
    number: str = "8000"
    phones: list[Phone] = field(default_factory=list)

    async def dial(self, stack: AsyncExitStack) -> None:
        """All of them hear the model."""
        clock = Clock()
        for _ in range(CALLS):
            dialling = dialled(self.switch, clock=clock, number=self.number)
            self.phones.append(await stack.enter_async_context(dialling))
            await asyncio.sleep(BETWEEN_S)
        # A controller that has just started says that it takes a moment, if imports do.
        sessions = self.model.sessions
        await until(lambda: sum(bool(each.record.spoken) for each in sessions) == CALLS, MOVED_S)
        await self.all("hears_speech")

    async def all(self, *does: str) -> None:
        """Every caller says or waits for something, at once."""
        what, *how = does
        await asyncio.gather(*(getattr(phone, what)(*how) for phone in self.phones))

    async def hear_us_again(self, since: float) -> list[float]:
        """Wait until all do; how long each heard nothing of us, in milliseconds."""
        await until(lambda: len(self.model.sessions) == 2 * CALLS, MOVED_S)
        later = range(CALLS, 2 * CALLS)
        await until(lambda: all(asked(self.model, number) for number in later), MOVED_S)
        await self.all("hears_speech")
        assert all(asked(self.model, number) == [CONTINUE] for number in later)
        assert all("user" in self.roles(number) for number in later), "what they said is forgotten"
        return [longest_ms(ours(phone), since) for phone in self.phones]

    def roles(self, session: int) -> list[str]:
        """Who had said something, as far as a session of the model was told."""
        return [who for who, _ in history(self.model, session)]

    async def lose(self, controller: Serving) -> list[float]:
        """Kill it while they hear us, and wait until they do again; how long each heard nothing."""
        await self.talk()
        await asyncio.sleep(WRITTEN_S)
        killed = time.monotonic()
        controller.kill()
        gaps = await self.hear_us_again(killed)
        await self.talk()
        return gaps

    async def talk(self) -> None:
        """Every caller says something, and is answered to; nobody was lost."""
        latest = self.model.sessions[-CALLS:]
        turns = latest[0].record.turns + 1
        await self.all("says", "caller_interrupts")
        await until(lambda: all(session.record.turns == turns for session in latest))
        await self.all("hears_speech")
        assert not any(phone.leg.ended.done() for phone in self.phones)

    async def records(self) -> list[StoredCall]:
        """What is written down of them, once nothing is left of the calls."""
        await until_async(lambda: no_channel(self.switch), 10)
        assert open_below(self.folder, self.switch.pid) == []
        async with reading(self.settings["ESL_CONTROLLER_STORE_URL"]) as reader:
            calls = await reader.recent(2 * CALLS)
            found = [await reader.call(call.call_uuid) for call in calls]
        return [call for call in found if call is not None]


@asynccontextmanager
async def callers(switch: FreeSwitch, folder: Path, speech: Path) -> AsyncIterator[Callers]:
    """Nobody has dialled yet. Afterwards each call has a record, and a recording of all of it."""
    recordings = folder / "recordings"
    recordings.mkdir()
    (folder / "default.toml").write_text("[recording]\nstereo = true\n[limits]\nidle_s = 0\n")
    async with ModelStandIn(speech=speech, think_ms=20) as model:
        settings = environment(
            switch,
            model.base_url,
            STORE_URL=f"sqlite:///{folder}/calls.db",
            SECRETARIES_FOLDER=str(folder),
            FREESWITCH_RECORDINGS=str(recordings),
        )
        of = Callers(switch, model, settings, folder)
        yield of
        stored = await of.records()
    assert len(stored) == CALLS
    for call in stored:
        assert call.outcome == "completed"
        assert call.started_at is not None
        (note,) = [note.text for note in call.notes if "a controller was lost" in note.text]
        assert "the call went on" in note
        assert call.ended_at is not None
        with wave.open(call.recording) as file:
            recorded_s = file.getnframes() / file.getframerate()
        assert recorded_s > call.ended_at - call.started_at - 1.0
    assert len(list(recordings.iterdir())) == CALLS


def endless_speech(folder: Path) -> Path:
    """Without a pause, so that every frame of ours is heard to be one."""
    values, rate = sounds.load("greeting")
    size = rate * FRAME_MS // 1000
    pieces = values[: values.size // size * size].reshape(-1, size)
    loud = np.concatenate([piece for piece in pieces if rms(piece) > LOUD])
    return written(folder, np.tile(loud, 12), rate)


def written(folder: Path, speech: Samples, rate: int) -> Path:
    """What the model is to say, as a file."""
    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(speech.tobytes())
    return folder / "speech.wav"


def open_below(folder: Path, pid: int) -> list[str]:
    """The files in a folder that a process has open."""
    names = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(file))
    return [name for name in names if name.startswith(f"{folder}/")]


def ours(phone: Phone) -> list[float]:
    """When each frame with a sound came that is not the tone of the dialplan's ladder."""
    rate = phone.leg.rate
    return [
        at
        for at, frame in zip(phone.leg.times, map(samples, phone.leg.frames), strict=True)
        if not is_silent(frame) and not is_tone(frame, rate, TONE_HZ)
    ]


def longest_ms(times: list[float], since: float) -> float:
    """The longest time between two frames, of which the second came after ``since``."""
    around = [at for at in times if at > since - ON_THE_WAY_S]
    return float(np.diff(around).max() * 1000)


def told(figures: Figures, name: str, gaps: list[float], most_ms: float) -> None:
    """Note what the callers noticed. Raises AssertionError if it was too long."""
    p50, p95 = np.percentile(gaps, 50), np.percentile(gaps, 95)
    figures[f"{name}: without us, ms"] += gaps
    figures[f"{name}: without us, p50 ms"].append(float(p50))
    figures[f"{name}: without us, p95 ms, at most {most_ms}"].append(float(p95))
    assert p95 <= most_ms


@asynccontextmanager
async def two_controllers(of: Callers) -> AsyncIterator[Serving]:
    """The one that gets all calls; they are handed to the other one if it is not there."""
    of.number, other = "8010", free_port()
    both = f"127.0.0.1:{of.switch.controller_port}|127.0.0.1:{other}"
    add_extension(of.switch, of.number, both, WAITS_MS)
    async with (
        serving(of.settings) as first,
        serving({**of.settings, "ESL_CONTROLLER_ESL_PORT": str(other)}),
    ):
        yield first


async def test_killed_and_started_again(
    switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    async with callers(switch, tmp_path, endless_speech(tmp_path)) as of:
        ready = asyncio.Queue[Serving]()
        supervisor = asyncio.create_task(supervise(of.settings, ready))
        try:
            first = await ready.get()
            async with AsyncExitStack() as stack:
                await of.dial(stack)
                gaps = await of.lose(first)
            await until_async(lambda: no_channel(switch))
        finally:
            supervisor.cancel()
            await asyncio.gather(supervisor, return_exceptions=True)
    told(figures, "killed and started again", gaps, STARTED_AGAIN_MS)


async def test_killed_while_another_one_stands_by(
    switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    async with (
        callers(switch, tmp_path, endless_speech(tmp_path)) as of,
        two_controllers(of) as first,
    ):
        async with AsyncExitStack() as stack:
            await of.dial(stack)
            assert len((await first.get("/calls"))["calls"]) == CALLS
            gaps = await of.lose(first)
        await until_async(lambda: no_channel(switch))
    told(figures, "killed, another one stands by", gaps, STANDING_BY_MS)


async def test_stopped_in_the_middle_of_a_word_and_the_next_one_is_up(
    switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    values, rate = sounds.load("greeting")
    sentence = written(tmp_path, values, rate)
    async with callers(switch, tmp_path, sentence) as of, two_controllers(of) as first:
        async with AsyncExitStack() as stack:
            await of.dial(stack)
            await of.all("hears_silence")
            await of.all("says", "caller_interrupts")
            answered = time.monotonic()
            await of.all("hears_speech")
            stopped = time.monotonic()
            first.process.send_signal(signal.SIGTERM)
            await first.process.wait()
            stopping_s = time.monotonic() - stopped
            await until(lambda: len(of.model.sessions) == 2 * CALLS, MOVED_S)
            await of.all("hears_silence")
            gaps = [longest_ms(phone.leg.times, stopped) for phone in of.phones]
            for number in range(CALLS, 2 * CALLS):
                assert of.roles(number) == ["assistant", "user", "assistant"]
                assert asked(of.model, number) == [], "the sentence was not told as finished"
            said = through_telephone(words("greeting", 8000), "PCMU")
            end = 1 + int(np.flatnonzero(np.abs(said.astype(int)) > LOUD)[-1])
            for phone in of.phones:
                last_word = match(phone.heard(stopped), said[end - LAST_WORD : end])
                assert last_word.correlation >= 0.95, "cut in mid-word"
                whole = match(phone.heard(answered), said).correlation
                figures["stopped: the sentence at the callers' ears, correlation"].append(whole)
            await of.talk()
        await until_async(lambda: no_channel(switch))
    figures["stopped: until it has ended, ms"].append(stopping_s * 1000)
    told(figures, "stopped, the next one is up", gaps, STOPPED_MS)
