"""``esl-controller call``: a caller of our own, to hear whether everything works.

It originates a loopback call through the Event Socket that FreeSWITCH listens on, parks its own leg
and opens a lane to it, the same way in which the controller speaks to callers. So it needs no file
on the switch: it hears every frame that a caller would hear, and speaks by sending frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np
from genesis import ESLEvent, Inbound
from genesis.exceptions import AuthenticationError, ConnectionTimeoutError, GenesisError

from esl_controller import sounds
from esl_controller.settings import Settings
from media.frame import Samples, samples, to_pcm
from media.lane import Clock, Lane, Ports
from media.playout import Playout
from media.resample import convert
from media.speech import SpeechStarted, SpeechStopped, VoiceActivity

LANE_S = 1.0
QUIET_MS = 700  # silence that ends somebody's words
STEP_S = 0.05


class CallFailed(Exception):
    """The call did not do what it should; one line that says what to look at."""


@dataclass(frozen=True)
class Plan:
    """What to call and what to say. ``audio``: the caller's words at ``audio_rate`` Hz."""

    number: str
    context: str
    audio: Samples
    audio_rate: int
    record: Path | None
    timeout_s: float
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Heard:
    """What the caller heard: when each utterance began and ended, in seconds since the answer."""

    utterances: list[tuple[float, float | None]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    said_at: float | None = None
    said_for: float = 0.0


@contextlib.asynccontextmanager
async def event_socket(settings: Settings) -> AsyncIterator[Inbound]:
    """A connection to FreeSWITCH's own Event Socket. Raises CallFailed."""
    there = settings.freeswitch
    where = f"{there.host}:{there.port}"
    connection = Inbound(there.host, there.port, there.password.get_secret_value())
    try:
        await connection.start()
    except AuthenticationError:
        raise CallFailed(
            f"FreeSWITCH at {where} refused the password: set FREESWITCH_PASSWORD to that of"
            " autoload_configs/event_socket.conf.xml"
        ) from None
    except ConnectionTimeoutError:
        raise CallFailed(f"FreeSWITCH's Event Socket at {where} does not answer") from None
    except (GenesisError, OSError) as error:
        raise CallFailed(
            f"no connection to FreeSWITCH's Event Socket at {where}: {error}. Is FreeSWITCH"
            " running, mod_event_socket loaded, and our address in its apply-inbound-acl?"
        ) from None
    try:
        yield connection
    finally:
        await connection.stop()


class Caller:
    """One leg of ours at the switch."""

    def __init__(self, connection: Inbound, settings: Settings, plan: Plan) -> None:
        self.uuid = str(uuid4())
        self.heard = Heard()
        self._connection = connection
        self._media = settings.media
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._answered = asyncio.Event()
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._changed = asyncio.Event()
        self._clock = Clock()
        self._playout: Playout | None = None
        self._voice: VoiceActivity | None = None
        self._began = 0.0
        self._dialled = 0.0

    async def run(self) -> None:
        """Make the call, to its end. Raises CallFailed."""
        await self._dial()
        async with self._lane():
            try:
                async with asyncio.timeout(self._plan.timeout_s):
                    await self._talk()
            except TimeoutError:
                _say(f"no more than {self._plan.timeout_s:g} s (--timeout)")
        await self._command(f"api uuid_kill {self.uuid}")
        if not self.heard.utterances:
            raise CallFailed("answered, but nothing was heard: see the controller's log")

    async def _dial(self) -> None:
        plan = self._plan
        connection = self._connection
        connection.on("*", self._event)
        await self._command(f"filter Unique-ID {self.uuid}")
        await self._command("event plain CHANNEL_ANSWER CHANNEL_HANGUP BACKGROUND_JOB")
        variables = {"origination_uuid": self.uuid, "ignore_early_media": "true", **plan.variables}
        joined = ",".join(f"{name}={value}" for name, value in variables.items())
        self._dialled = self._loop.time()
        _say(f"calling {plan.number} in context {plan.context} ...")
        dial = f"api originate {{{joined}}}loopback/{plan.number}/{plan.context} &park()"
        reply = await self._command(dial, timeout=plan.timeout_s)
        if not reply.startswith("+OK"):
            raise CallFailed(
                f"the call was not answered: {reply.removeprefix('-ERR').strip()}. Does the context"
                f" {plan.context!r} have {plan.number!r}, and does its socket action reach the"
                " controller?"
            )
        self._began = self._loop.time()
        _say(f"answered after {(self._began - self._dialled) * 1000:.0f} ms")

    @contextlib.asynccontextmanager
    async def _lane(self) -> AsyncIterator[None]:
        media = self._media
        port = Ports(media.lane_ports.first, media.lane_ports.last).take()
        lane = Lane(self._clock, host=media.lane_host, switch=(media.lane_switch_host, port))
        try:
            (switch_ip, switch_port), (ip, port) = lane.switch, lane.local
            await self._command(
                f"sendmsg {self.uuid}\ncall-command: unicast\nlocal-ip: {switch_ip}\n"
                f"local-port: {switch_port}\nremote-ip: {ip}\nremote-port: {port}\ntransport: udp"
            )
            try:
                async with asyncio.timeout(LANE_S):
                    rate = await lane.opened
            except TimeoutError:
                raise CallFailed(
                    f"FreeSWITCH sends no audio from {switch_ip}:{switch_port}; is it on this"
                    " machine ([media] lane_host, lane_switch_host)?"
                ) from None
            self._playout = Playout(rate)
            self._voice = VoiceActivity(rate, silence_ms=QUIET_MS)
            lane.start(self._playout, self._hear)
            yield
        finally:
            lane.close()

    async def _talk(self) -> None:
        """Hear the greeting, say our words, hear the reply."""
        plan, playout = self._plan, self._playout
        assert playout is not None
        if not await self._utterance(1):
            return
        words = convert(plan.audio, plan.audio_rate, playout.format.rate)
        self.heard.said_at = self._since()
        self.heard.said_for = words.size / playout.format.rate
        _say(f"{self.heard.said_at:6.2f} s  we say {self.heard.said_for:.1f} s of words")
        playout.push("caller", words.tobytes())
        playout.complete("caller")
        while playout.speaking and not self._over.done():
            await self._change(STEP_S)
        before = len(self.heard.utterances)
        await self._utterance(before + 1)

    async def _utterance(self, number: int) -> bool:
        """Wait until utterance ``number`` has ended; False if the call ended first."""
        while not self._over.done():
            if len(self.heard.utterances) >= number and self.heard.utterances[number - 1][1]:
                return True
            await self._change(None)
        _say(f"{self._since():6.2f} s  the call ended: {self._over.result()}")
        return False

    async def _change(self, within: float | None) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._changed.wait()

    def _hear(self, frame: bytes) -> None:
        assert self._voice is not None
        self.heard.frames.append(frame)
        for event in self._voice.feed(samples(frame)):
            at = event.at_ms / 1000
            if isinstance(event, SpeechStarted):
                self.heard.utterances.append((at, None))
                said = self.heard.said_at
                reply = ""
                if said is not None:
                    reply = f", {(at - said - self.heard.said_for) * 1000:.0f} ms after our words"
                _say(f"{at:6.2f} s  we hear speech{reply}")
            elif isinstance(event, SpeechStopped):
                begun, _ = self.heard.utterances[-1]
                self.heard.utterances[-1] = (begun, at)
                _say(f"{at:6.2f} s  it ends, after {at - begun:.1f} s")
        self._changed.set()

    async def _event(self, event: ESLEvent) -> None:
        if event.get("Unique-ID") != self.uuid:
            return
        if event.get("Event-Name") == "CHANNEL_HANGUP" and not self._over.done():
            self._over.set_result(str(event.get("Hangup-Cause")))
            self._changed.set()

    async def _command(self, command: str, timeout: float = 5.0) -> str:
        try:
            async with asyncio.timeout(timeout):
                reply = await self._connection.send(command)
        except TimeoutError:
            raise CallFailed(f"FreeSWITCH did not reply within {timeout:g} s") from None
        except GenesisError as error:
            raise CallFailed(f"the connection to FreeSWITCH was lost: {error}") from None
        return (reply.body or str(reply.get("Reply-Text", ""))).strip()

    def _since(self) -> float:
        return self._loop.time() - self._began

    def save(self, path: Path) -> None:
        """Write the call as a stereo WAV: left what the caller said, right what it heard."""
        assert self._playout is not None
        rate = self._playout.format.rate
        right = samples(b"".join(self.heard.frames))
        left = np.zeros_like(right)
        if self.heard.said_at is not None:
            words = convert(self._plan.audio, self._plan.audio_rate, rate)
            at = int(self.heard.said_at * rate)
            part = words[: max(0, left.size - at)]
            left[at : at + part.size] = part
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, rate, 0, "NONE", ""))
            file.writeframes(np.column_stack((left, right)).tobytes())
        _say(f"recorded in {path}")


def read_wav(path: Path) -> tuple[Samples, int]:
    """The first channel of a 16-bit WAV, and its rate. Raises CallFailed."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            if width != 2:
                raise CallFailed(f"{path} has {8 * width} bits a sample; convert it to 16-bit PCM")
            return samples(file.readframes(count))[::channels].copy(), rate
    except (OSError, wave.Error, EOFError) as error:
        raise CallFailed(f"cannot read {path}: {error}") from None


async def place(settings: Settings, plan: Plan) -> None:
    """Make one call and report it as it goes. Raises CallFailed."""
    async with event_socket(settings) as connection:
        caller = Caller(connection, settings, plan)
        try:
            await caller.run()
        finally:
            if plan.record is not None and caller.heard.frames:
                caller.save(plan.record)
        told = ", ".join(
            f"{begin:.1f}-{f'{end:.1f}' if end is not None else ''} s"
            for begin, end in caller.heard.utterances
        )
        _say(f"heard: {told}")


def call(settings: Settings, plan: Plan) -> int:
    """``esl-controller call``: 0 if the call was answered and something was heard, else 1."""
    try:
        asyncio.run(place(settings, plan))
    except CallFailed as failure:
        print(f"esl-controller call: {failure}", file=sys.stderr)
        return 1
    return 0


def bundled_words(language: str) -> tuple[Samples, int]:
    """What a caller says unless a file is given."""
    values, rate = sounds.load("caller", language)
    return to_pcm(values.astype(np.float32)), rate


def _say(text: str) -> None:
    print(text, flush=True)
