"""Calls whose truth is known, whoever has them: what the model said and the caller heard of it.

Every 20 ms of the model's speech carry the number of what is said and their place in it, and every
word is a word of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from esl_controller.simulator.freeswitch import CallStandIn
from esl_controller.simulator.freeswitch.audio import level
from esl_controller.simulator.freeswitch.call import SPEECH_LEVEL
from esl_controller.simulator.model import ModelSession, ScriptedCall
from esl_controller.simulator.model_base.utterance import ModelUtterance
from media import sounds
from media.frame import PCMU, Samples, encode

FRAMES: Final = 80  # of everything that the model says: 1.6 s
WORDS: Final = 16
LOUD: Final = 4000
BITS: Final = 32
AGAIN_S: Final = 5.0  # of silence, then the caller speaks again
QUIET_S: Final = 0.4
LONGEST_S: Final = 100.0  # a call, also on a busy machine; else it takes 15 s
STUCK: Final = "RECOVERY_ON_TIMER_EXPIRE"
MOST_TURNS: Final = 20


@dataclass(frozen=True)
class Kind:
    """A kind of call.

    ``plan``: the functions that the model calls, one in answer to each turn of the caller.
    ``answers``: so many the caller wants, and hangs up; 0: the model ends it. ``leaves_s``: when
    the caller hangs up in any case. ``keys``: pressed after each turn. ``interrupts``: the caller
    speaks into every second answer. ``outcome``: what the record is to say.
    """

    name: str
    secretary: str = ""
    plan: tuple[ScriptedCall, ...] = ()
    answers: int = 0
    leaves_s: float = 0.0
    keys: str = ""
    interrupts: bool = False
    outcome: str = "completed"

    @property
    def uuid(self) -> str:
        """Its secretary's."""
        return str(uuid5(NAMESPACE_URL, self.name))


@dataclass
class Talk:
    """One call. Times are monotonic seconds."""

    kind: Kind
    call: CallStandIn
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    said: dict[int, str] = field(default_factory=dict)
    """What the model said, by number: what it was asked to say."""
    words: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The caller's turns, by the word that stands for each: when the model's session began, and
    when it knew."""
    heard: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    """What the caller heard of what the model said: when, and which frame of it."""
    last_sound: float = 0.0
    unanswered: list[tuple[float, float]] = field(default_factory=list)
    """When the caller spoke, and until when there was no answer."""

    def whole(self, number: int) -> bool:
        """Whether it was heard to its end."""
        return len(self.heard.get(number, ())) == FRAMES

    def hear(self, at: float, frame: bytes) -> None:
        """Note a frame."""
        if level(frame) > SPEECH_LEVEL:
            self.last_sound = at
        if (found := read_frame(np.frombuffer(frame, np.int16))) is not None:
            self.heard.setdefault(found[0], []).append((at, found[1]))


class Mind(ModelSession):
    """A model that decides by what it knows of the conversation. A class of its own for each world,
    for which it has ``talks`` by secretary."""

    talks: ClassVar[Mapping[str, Talk]]
    numbers: ClassVar[Iterator[int]]
    began = 0.0

    @property
    def talk(self) -> Talk:
        """Which call it is."""
        return next(t for name, t in self.talks.items() if _named(name) in self.instructions)

    async def run(self) -> None:
        """As it is, and noted."""
        self.began = time.monotonic()
        await super().run()

    def calls_due(self) -> list[ScriptedCall]:
        """The next function of the plan, if the caller spoke since the last one."""
        items = [item.body for item in self.conversation.items]
        called = [item for item in items if item["type"] == "function_call"]
        again = {
            item["call_id"]
            for item in items
            if item["type"] == "function_call_output" and "asked for again" in item["output"]
        }
        done = sum(c["name"] != "collect_digits" or c["call_id"] not in again for c in called)
        last = items.index(called[-1]) if called else 0
        spoke = any(item.get("role") == "user" for item in items[last:])
        return list(self.talk.kind.plan[done : done + 1]) if spoke else []

    def utterance(self) -> ModelUtterance:
        """Something new."""
        number = next(self.numbers)
        asked = [e for e in self.record.client_events if e["type"] == "response.create"][-1]
        self.talk.said[number] = asked.get("response", {}).get("instructions", "")
        assert self.config.output_format == PCMU
        words = " ".join(f"u{number}.{word}" for word in range(WORDS))
        return ModelUtterance.of(encode(speech(number), "pcmu"), PCMU, words, 100)

    def transcript(self, seconds: float) -> str:
        """The caller's turn is one word."""
        word = f"c{next(self.numbers)}"
        self.talk.words[word] = self.began, time.monotonic()
        return word


class Caller:
    """Speaks, waits for the answer, speaks again."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._words = _words()

    async def call(self) -> None:
        """The whole call; one that does not end is ended with ``STUCK``."""
        talk, kind = self._talk, self._talk.kind
        conversation = asyncio.create_task(self._converse())
        try:
            if kind.leaves_s:
                await asyncio.wait([conversation], timeout=kind.leaves_s)
                talk.call.hangup()
            await talk.call.ended(timeout=LONGEST_S)
        except TimeoutError:
            talk.call.hangup(STUCK)
        finally:
            talk.ended = time.monotonic()
            conversation.cancel()
            await asyncio.gather(conversation, return_exceptions=True)

    async def _converse(self) -> None:
        talk, kind = self._talk, self._talk.kind
        await self._answered(talk.began, into=False)
        answers = 0
        for turn in range(MOST_TURNS):
            talk.call.speak(*self._words)
            await asyncio.sleep(talk.call.speaking_for)
            talk.call.dtmf(kind.keys)
            answers += await self._answered(
                time.monotonic(), into=kind.interrupts and turn % 2 == 0
            )
            if 0 < kind.answers == answers:
                break
        talk.call.hangup()

    async def _answered(self, since: float, *, into: bool) -> bool:
        """Wait for an answer, to its end or only ``into`` it; or for long enough."""
        talk = self._talk
        while not talk.call.cause:
            await asyncio.sleep(0.02)
            now = time.monotonic()
            begun = [n for n, heard in talk.heard.items() if heard[0][0] > since]
            if into and any(len(talk.heard[number]) > FRAMES // 3 for number in begun):
                return True
            if now - talk.last_sound > QUIET_S and any(map(talk.whole, begun)):
                return True
            if now - max(talk.last_sound, since) > AGAIN_S:
                talk.unanswered.append((since, now))
                return False
        return False


def speech(number: int) -> Samples:
    """What the model says, at 8 kHz."""
    codes = np.array([_code(number, place) for place in range(FRAMES)], np.uint32)
    bits = (codes[:, None] >> np.arange(BITS, dtype=np.uint32)) & 1
    return np.repeat(np.where(bits, LOUD, -LOUD), 160 // BITS).astype(np.int16)


def read_frame(samples: Samples) -> tuple[int, int] | None:
    """The number and the place that a frame carries; None if it is no speech of the model's."""
    if len(samples) != 160 or np.any(np.abs(np.abs(samples.astype(int)) - LOUD) > LOUD // 10):
        return None
    bits = (samples[::5] > 0).astype(np.uint32)
    code = int((bits << np.arange(BITS, dtype=np.uint32)).sum())
    number, place = code >> 16, (code >> 8) & 255
    return (number, place) if code == _code(number, place) else None


def _code(number: int, place: int) -> int:
    return number << 16 | place << 8 | (31 * number + 7 * place) & 255


def _named(name: str) -> str:
    return f"Your name is {name}."


def _words() -> tuple[Samples, int]:
    samples, rate = sounds.load("caller_interrupts", "en")
    return samples[: rate * 9 // 10], rate
