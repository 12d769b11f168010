"""One call, held for the demo: what everybody does, when, and what came of it.

All three parts run in one event loop: the FreeSWITCH stand-in with its caller, the stand-in of the
voice model, and between them the controller, put together as ``serve`` does it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sized
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from esl_controller.config.loading import load
from esl_controller.config.settings import Settings
from esl_controller.demo.sound import lay_out
from esl_controller.server.app import Controller, running
from esl_controller.simulator.freeswitch import CallStandIn, SwitchStandIn
from esl_controller.simulator.model import ModelStandIn, ScriptedCall, SessionRecord
from media import sounds
from media.frame import Samples
from media.lane import Lane
from media.resample import convert

Tell: TypeAlias = Callable[[float, str, str], None]
"""Called with what happens: seconds since the answer, who does it, what."""
ScriptStep = Literal[
    "answered", "greeting", "reply", "interruption", "message", "second reply", "goodbye"
]

_STEP_S = 10.0  # neither side keeps the other waiting this long unless something is broken
_LONGEST_S = 3600.0
_PAUSE_S = 0.6  # of silence, after which the caller thinks that the other has finished

_T = TypeVar("_T")

TOOL_CALL = ScriptedCall(
    after_turn=2,
    name="take_message",
    arguments='{"name": "the caller", "text": "wants an appointment for Tuesday"}',
)
"""What the model does between the interruption and its second reply."""


@dataclass(frozen=True)
class Script:
    """How the call goes. ``greeting`` and ``words`` are names of bundled sounds.

    ``seconds``: the call is cut off after this long; None: it goes on to its end.
    ``patience_s``: how much of the reply the caller hears before interrupting it.
    """

    language: str = "en"
    codec: Literal["PCMU", "L16"] = "PCMU"
    playback: Literal["lane", "file"] = "lane"
    seconds: float | None = None
    greeting: str = "greeting"
    words: str = "caller"
    patience_s: float = 1.9


@dataclass(frozen=True)
class CallerWords:
    """The caller's words: when they began (monotonic seconds), and their samples."""

    name: str
    at: float
    samples: Samples


@dataclass
class Take:
    """What came of it. Times are monotonic seconds, but for ``marks``: seconds since ``arrived``.

    ``rate`` is that of the channel in Hz, and of all samples here. ``done`` are the steps that
    came to their end; ``failure`` says which one did not, and is empty if all went well.
    """

    script: Script
    rate: int = 8000
    answered: float = 0.0
    arrived: float = 0.0
    ended: float = 0.0
    marks: dict[str, float] = field(default_factory=dict)
    said: list[CallerWords] = field(default_factory=list)
    frames: list[tuple[float, bytes]] = field(default_factory=list)
    record: SessionRecord = field(default_factory=lambda: SessionRecord(full=True))
    done: list[ScriptStep] = field(default_factory=list)
    failure: str = ""
    ticks: int = 0
    late_ticks: int = 0
    worst_late_ms: float = 0.0
    starved: int = 0
    """Frames of silence in the middle of a sentence, because the model's audio came too late."""
    left: str = ""
    """What the controller had not freed after the call."""

    def sides(self) -> tuple[Samples, Samples]:
        """What the caller said and heard, sample by sample from the answer to the end."""
        length = self.ended - self.answered if self.answered else 0.0
        heard = lay_out(self.frames, self.rate, self.answered)
        size = max(heard.size, int(length * self.rate))
        left, right = np.zeros(size, np.int16), np.zeros(size, np.int16)
        right[: heard.size] = heard
        for said in self.said:
            at = round((said.at - self.answered) * self.rate)
            words = said.samples[: max(0, size - at)]
            left[at : at + words.size] = words
        return left, right


class _Failed(Exception):
    """Something that should be heard was not."""


async def hold(script: Script, tell: Tell) -> Take:
    """Hold the call. Raises OSError if no port is free on 127.0.0.1."""
    take = Take(script)
    async with contextlib.AsyncExitStack() as stack:
        standin = ModelStandIn(
            language=script.language, greeting=script.greeting, script=(TOOL_CALL,)
        )
        model = await stack.enter_async_context(standin)
        settings = _settings(script, model.base_url)
        controller = await stack.enter_async_context(running(settings))
        switch = SwitchStandIn(f"127.0.0.1:{controller.calls.port}")
        await stack.enter_async_context(switch)
        call = await switch.call(codec=script.codec)
        caller = _Caller(call, controller, model, take, tell)
        await caller.talk()
        if model.sessions:
            take.record = model.sessions[0].record
        await caller.hang_up()
    take.left = _left(controller)
    return take


def _settings(script: Script, base_url: str) -> Settings:
    environment = {
        "OPENAI_API_KEY": "the stand-in asks for none",
        "ESL_CONTROLLER_AGENT_BASE_URL": base_url,
        "ESL_CONTROLLER_AGENT_LANGUAGE": script.language,
        "ESL_CONTROLLER_MEDIA_PLAYBACK": script.playback,
        **{f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")},
    }
    settings = load(None, environment).settings
    # A demo leaves nothing behind but its picture and its sound.
    return settings.model_copy(update={"store": settings.store.model_copy(update={"url": ""})})


def _left(controller: Controller) -> str:
    things: dict[str, Sized] = {
        "calls": controller.calls.calls,
        "lanes": controller.clock.lanes,
        "ports": controller.ports.taken,
    }
    return ", ".join(f"{len(some)} {name}" for name, some in things.items() if some)


class _Caller:
    """The person on the phone, who follows the script and fills in the take."""

    def __init__(
        self,
        call: CallStandIn,
        controller: Controller,
        model: ModelStandIn,
        take: Take,
        tell: Tell,
    ) -> None:
        self._call = call
        self._controller = controller
        self._model = model
        self._take = take
        self._script = take.script
        self._tell_at = tell
        self._loop = asyncio.get_running_loop()
        self._lane: Lane | None = None
        take.rate = call.rate

    async def talk(self) -> None:
        """The whole conversation, as far as it gets."""
        take = self._take
        steps: tuple[tuple[ScriptStep, Callable[[], Coroutine[Any, Any, None]]], ...] = (
            ("answered", self._be_answered),
            ("greeting", self._hear_greeting),
            ("reply", self._ask),
            ("interruption", self._interrupt),
            ("message", self._have_message_taken),
            ("second reply", self._hear_second_reply),
        )
        try:
            async with asyncio.timeout(self._script.seconds) as limit:
                for name, step in steps:
                    await step()
                    take.done.append(name)
        except _Failed as failure:
            take.failure = str(failure)
        except TimeoutError:
            assert limit.expired()
            self._tell("demo", f"{self._script.seconds:g} s are over (--seconds)")

    async def hang_up(self) -> None:
        """Put the phone down, and note what was heard."""
        take, call = self._take, self._call
        take.ended = self._loop.time()
        clock = self._controller.clock
        take.ticks, take.late_ticks = clock.ticks, clock.late
        take.worst_late_ms = clock.worst_late_ms
        if self._lane is not None and self._lane.playout is not None:
            take.starved = self._lane.playout.gaps
        if take.answered:
            self._tell("caller", "hangs up")
        call.hangup()
        with contextlib.suppress(TimeoutError):
            await call.ended()
            take.done.append("goodbye")
        take.frames = list(call.heard)

    # --- the steps --------------------------------------------------------------------------------

    async def _be_answered(self) -> None:
        take, call = self._take, self._call
        await self._within(call.answered(), "the call was not answered")
        take.answered = self._loop.time()
        session = self._controller.calls.calls[call.uuid]
        take.arrived = take.answered - session.age_s
        # The session fills them in as it goes on.
        take.marks = session.marks
        self._tell("controller", f"answers a call to 8000 ({self._script.codec}, {call.rate} Hz)")
        stream = call.stream_connected()
        await self._within(stream, "mod_audio_stream's stand-in did not reach the controller")
        self._tell("controller", "gets the caller's audio from mod_audio_stream")
        if self._script.playback == "lane":
            await self._within(call.lane_open(), "no lane was opened")
            self._lane = next(iter(self._controller.clock.lanes), None)
            if self._lane is None:
                raise _Failed("no lane was opened, replies came as files")
            self._tell("controller", "has a lane to the caller: a frame every 20 ms from now on")

    async def _hear_greeting(self) -> None:
        await self._hear("no greeting was heard", self._quoted(self._script.greeting))
        await self._silence()

    async def _ask(self) -> None:
        self._speak(self._script.words)
        words = f"repeats: {self._quoted(self._script.words)}"
        await self._hear("no reply to the caller's words was heard", words)

    async def _interrupt(self) -> None:
        await asyncio.sleep(self._script.patience_s)
        self._speak("caller_interrupts", "interrupts: ")
        quiet = await self._silence()
        self._tell("controller", "stopped the model's speech", quiet)

    async def _have_message_taken(self) -> None:
        """The model calls a function, and gets its result before it goes on."""
        await self._within(self._function_called(), "the model called no function")
        self._tell("model", f"calls {TOOL_CALL.name}({TOOL_CALL.arguments})")

    async def _function_called(self) -> None:
        record = self._model.sessions[0].record
        async with asyncio.timeout(self._call.speaking_for + _STEP_S):
            while not any(  # noqa: ASYNC110
                event.get("item", {}).get("type") == "function_call_output"
                for event in record.client_events
            ):
                await asyncio.sleep(0.01)

    async def _hear_second_reply(self) -> None:
        words = f"repeats: {self._quoted('caller_interrupts')}"
        await self._hear("no reply to the interruption was heard", words)
        await self._silence()

    # --- what they are made of --------------------------------------------------------------------

    def _speak(self, name: str, how: str = "") -> None:
        values, rate = sounds.load(name, self._script.language)
        at = self._call.speak(values, rate)
        self._take.said.append(CallerWords(name, at, convert(values, rate, self._call.rate)))
        self._tell("caller", f"{how}{self._quoted(name)}", at)

    async def _hear(self, complaint: str, words: str) -> None:
        timeout = self._call.speaking_for + _STEP_S
        at = await self._within(self._call.wait_heard(timeout=timeout), complaint)
        self._tell("model", words, at)

    async def _silence(self) -> float:
        return await self._within(self._call.wait_silence(_PAUSE_S), "the model never fell silent")

    async def _within(self, waiting: Coroutine[Any, Any, _T], complaint: str) -> _T:
        """The result of ``waiting``. Raises _Failed if its time or the call is over first."""
        wanted = asyncio.ensure_future(waiting)
        over = asyncio.ensure_future(self._call.ended(_LONGEST_S))
        try:
            await asyncio.wait((wanted, over), return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise _Failed(f"{complaint}: the call ended before ({self._call.cause})")
            return wanted.result()
        except TimeoutError:
            raise _Failed(complaint) from None
        finally:
            for task in (wanted, over):
                task.cancel()
            await asyncio.gather(wanted, over, return_exceptions=True)

    def _quoted(self, name: str) -> str:
        return f"“{sounds.transcript(name, self._script.language)}”"

    def _tell(self, who: str, what: str, at: float | None = None) -> None:
        now = self._loop.time() if at is None else at
        self._tell_at(now - (self._take.answered or now), who, what)
