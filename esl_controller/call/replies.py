"""One reply of the model at a time: what it is to say next, and why. [core]

A model takes one request for a response at a time, and a caller wants one answer. So nothing asks
the model directly: whatever wants it to speak (the caller's turn, a function's result, an idle
prompt, the farewell) schedules a reply here, and whenever none is in flight, the most urgent one is
requested.

Two replies of the same kind are one, with the later instructions. The model answers from the whole
conversation: when three functions have their results, one ANSWER covers them all, and a second one
would repeat the first.

A reply is scheduled, requested, in flight (the model has given its response an id), and done. It
can be cancelled only by that id: one that has none yet is cancelled as soon as it has. If a
response fails or the connection goes, the reply is to be scheduled again: as it was if none of its
audio had come, and otherwise as an ANSWER that goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import NamedTuple

from esl_controller.call.actions import Actions, CancelReply, RequestReply
from esl_controller.call.instructions import CONTINUE


class ReplyKind(IntEnum):
    """Why the model is to speak, the most urgent reason first."""

    LAST_WORDS = 1  # a farewell, or the announcement of a transfer
    GREETING = 2
    ANSWER = 3  # to the caller, or to the result of a function
    NOTICE = 4  # that a webhook function may take a while
    WARNING = 5  # that the call has to end soon
    PROMPT = 6  # to a caller who has not said anything for a while


class Waiting(Enum):
    """What a caller is waiting for who has heard nothing yet of what is to be said to them."""

    NOTHING = "nobody waits"
    THE_MODEL = "the model errs"
    A_BEGINNING = "a reply was requested"
    AUDIO = "the reply has begun"


class Reply(NamedTuple):
    """Something that the model is to say; without ``instructions``, what the conversation asks
    for."""

    kind: ReplyKind
    instructions: str = ""


class Replies:
    """The sequencer.

    ``has_audio``: audio has come of the reply in flight, or of the last one if none is.
    ``expected``: a model that takes turns itself is due to reply, without being asked.
    """

    def __init__(self) -> None:
        self.has_audio = False
        self.expected = False
        self._scheduled: dict[ReplyKind, str] = {}
        self._reply: Reply | None = None  # requested or in flight
        self._response = ""  # its id, once it has begun
        self._cancelled = False
        self._unheard: Reply | None = None  # its audio has come, and waits to be heard

    @property
    def kind(self) -> ReplyKind | None:
        """That of the reply in flight."""
        return self._reply.kind if self._reply is not None else None

    @property
    def in_flight(self) -> bool:
        """Whether a reply was requested and is not done."""
        return self._reply is not None

    @property
    def quiet(self) -> bool:
        """Whether no reply is in flight or scheduled."""
        return self._reply is None and not self._scheduled

    @property
    def answer_due(self) -> bool:
        """Whether the caller waits for an answer and has heard nothing of it yet."""
        reply = self._pending
        asked = reply is not None and reply.kind is ReplyKind.ANSWER
        return asked or self.expected or ReplyKind.ANSWER in self._scheduled

    @property
    def waiting(self) -> Waiting:
        """What the caller waits for. Nobody misses a prompt, a notice or a warning."""
        if self._reply is not None and not self.has_audio:
            if self._reply.kind > ReplyKind.ANSWER or self._cancelled:
                return Waiting.NOTHING
            return Waiting.AUDIO if self._response else Waiting.A_BEGINNING
        return Waiting.NOTHING

    @property
    def unheard_last_words(self) -> str:
        """The instructions for the last words, as long as nothing of them was heard."""
        reply = self._pending
        if reply is not None and reply.kind is ReplyKind.LAST_WORDS:
            return reply.instructions
        return self._scheduled.get(ReplyKind.LAST_WORDS, "")

    @property
    def _pending(self) -> Reply | None:
        """The reply of which nothing was heard yet."""
        return self._unheard if self.has_audio else self._reply

    def describe(self) -> str:
        """The reply in flight and those that wait, for ``Call.describe``."""
        parts = [f"then {kind.name.lower()}" for kind in sorted(self._scheduled)]
        if self._reply is not None:
            step = "in flight" if self._response else "requested"
            kind = self._reply.kind.name.lower()
            parts.insert(0, f"{kind} {'cancelled' if self._cancelled else step}")
        elif self.expected:
            parts.insert(0, "expected")
        return ",".join(parts)

    def is_cancelled(self, response: str) -> bool:
        """Whether ``response`` was cancelled, even if the model had finished it by then."""
        return self._cancelled and response == self._response

    def schedule(self, kind: ReplyKind, instructions: str = "") -> None:
        """Have the model say something as soon as it may."""
        self._scheduled[kind] = instructions

    def put_into_words(self, kind: ReplyKind, instructions: str) -> None:
        """What is scheduled of this kind without instructions gets these."""
        if self._scheduled.get(kind) == "":
            self._scheduled[kind] = instructions

    def discard(self, *kinds: ReplyKind) -> None:
        """Forget what is scheduled of these kinds, or all of it if none is named."""
        for kind in kinds or tuple(ReplyKind):
            self._scheduled.pop(kind, None)

    def request_next(self, may_request: Callable[[ReplyKind], bool]) -> Actions:
        """Request the most urgent reply that ``may_request`` allows, if none is in flight."""
        kind = min(filter(may_request, self._scheduled), default=None)
        if self.in_flight or kind is None:
            return []
        self._reply = Reply(kind, self._scheduled.pop(kind))
        self.has_audio = False
        return [RequestReply(self._reply.instructions)]

    def response_started(self, response: str) -> Actions:
        """The model began a response, perhaps without being asked."""
        if self._response:
            return []  # a model that takes turns itself also calls functions while it speaks
        if self._reply is None:
            self._reply = Reply(ReplyKind.ANSWER)
            self.has_audio = False
        self._response = response
        return [CancelReply()] if self._cancelled else []

    def audio_started(self) -> None:
        """The first audio of the reply has come."""
        if not self.has_audio:
            self._unheard = self._reply
        self.has_audio, self.expected = True, False

    def audio_heard(self) -> None:
        """The caller hears the beginning of what has come, or never will: it is not to be said
        again."""
        self._unheard = None

    def refused(self) -> Reply | None:
        """The model will not begin the reply that was requested. Returns what is to be
        scheduled."""
        return None if self._response else self.end()

    def response_done(self, response: str) -> Reply | None:
        """``response`` is over. Returns what is to be scheduled if it failed, and the same reply
        if nothing of it was spoken."""
        return self.end() if self._response in ("", response) else None

    def cancel(self) -> Actions:
        """Cancel the reply in flight, as soon as its response has an id."""
        if self._reply is None or self._cancelled:
            return []
        self._cancelled = True
        return [CancelReply()] if self._response else []

    def end(self) -> Reply | None:
        """Nothing more will come of the reply in flight. Returns what is to be scheduled if it was
        not complete: the same reply, or its rest; None if it was cancelled."""
        reply = None if self._cancelled else self._reply
        self._reply, self._response, self._cancelled = None, "", False
        if reply is None or not self.has_audio:
            return reply
        # Last words that were heard in part will do.
        return None if reply.kind is ReplyKind.LAST_WORDS else Reply(ReplyKind.ANSWER, CONTINUE)
