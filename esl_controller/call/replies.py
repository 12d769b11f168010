"""One reply of the model at a time: what it is to say next, and why. [core]

Part of ``conversation.py``. Whatever wants the model to speak puts a ``Want`` here; the most urgent
one is asked for when nothing is in flight, so that two of the same kind become one reply.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from esl_controller.call.actions import Actions, CancelReply, RequestReply

CONTINUE = "You were cut off while you spoke. Go on from there, without a greeting or an apology."

ANSWER_NOW = "Answer what the caller said last."
LOST_WORDS = "You could not hear what the caller said last. Apologise in a few words and ask again."


class ReplyKind(IntEnum):
    """Why the model is to speak; the first one comes first."""

    LAST_WORDS = 1
    GREETING = 2
    ANSWER = 3
    NOTICE = 4
    WARNING = 5
    PROMPT = 6


class Replies:
    """The sequencer. ``spoke``: whether the reply in flight, or the last one, came to audio;
    ``expected``: whether one is to come that the model begins by itself."""

    def __init__(self) -> None:
        self.spoke = False
        self.expected = False
        self._wants: dict[ReplyKind, str] = {}
        self._reply: tuple[ReplyKind, str] | None = None  # asked for or in flight
        self._response = ""  # its id, once it has begun
        self._cancelled = False
        self._unheard: tuple[ReplyKind, str] | None = None  # it has come, and waits to be heard

    @property
    def in_flight(self) -> bool:
        """Whether a reply was asked for and is not over."""
        return self._reply is not None

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight and nothing wanted."""
        return self._reply is None and not self._wants

    @property
    def owes(self) -> bool:
        """Whether an answer is due of which nothing was heard yet."""
        reply = self._due
        asked = reply is not None and reply[0] is ReplyKind.ANSWER
        return asked or self.expected or ReplyKind.ANSWER in self._wants

    @property
    def last_words(self) -> str:
        """The last words, as long as nothing of them was heard."""
        want, words = self._due or (None, "")
        if want is ReplyKind.LAST_WORDS:
            return words
        return self._wants.get(ReplyKind.LAST_WORDS, "")

    @property
    def _due(self) -> tuple[ReplyKind, str] | None:
        return self._unheard if self.spoke else self._reply

    def describe(self) -> str:
        """The reply in flight and those that wait, for ``Call.describe``."""
        parts = [f"then {kind.name.lower()}" for kind in sorted(self._wants)]
        if self._reply is not None:
            step = "in flight" if self._response else "asked for"
            kind = self._reply[0].name.lower()
            parts.insert(0, f"{kind} {'cancelled' if self._cancelled else step}")
        elif self.expected:
            parts.insert(0, "expected")
        return ",".join(parts)

    def cancelled(self, response: str) -> bool:
        """Whether ``response`` was cancelled, also if the model had finished it by then."""
        return self._cancelled and response == self._response

    def want(self, want: ReplyKind, words: str = "") -> None:
        """Have the model speak; ``words``: instructions, or what the conversation asks for."""
        self._wants[want] = words

    def drop(self, *wants: ReplyKind) -> None:
        """What is not wanted any more, all if none is named."""
        for want in wants or tuple(ReplyKind):
            self._wants.pop(want, None)

    def next(self, may: Callable[[ReplyKind], bool]) -> Actions:
        """Ask for the most urgent reply, if it may be spoken now."""
        if self.in_flight or not self._wants:
            return []
        want = min(self._wants)
        if not may(want):
            return []
        words = self._wants.pop(want)
        self._reply = want, words
        self.spoke = False
        return [RequestReply(words)]

    def started(self, response: str) -> Actions:
        """The model began to reply, perhaps by itself."""
        if self._response:
            return []  # a model that takes turns itself also calls functions while it speaks
        if self._reply is None:
            self._reply = ReplyKind.ANSWER, ""
            self.spoke = False
        self._response = response
        return [CancelReply()] if self._cancelled else []

    def speaks(self) -> None:
        """The reply has come to audio."""
        if not self.spoke:
            self._unheard = self._reply
        self.spoke, self.expected = True, False

    def heard(self) -> None:
        """Of what has come the first sample is heard, or none will be."""
        self._unheard = None

    def done(self, response: str) -> tuple[ReplyKind, str] | None:
        """``response`` is over; returns what would have to be said if it failed."""
        return self.lost() if self._response in ("", response) else None

    def cancel(self) -> Actions:
        """Stop the reply in flight, as soon as it has a name."""
        if self._reply is None or self._cancelled:
            return []
        self._cancelled = True
        return [CancelReply()] if self._response else []

    def lost(self) -> tuple[ReplyKind, str] | None:
        """The reply in flight will not come; returns what is to be said: it, or the rest of it."""
        reply = None if self._cancelled else self._reply
        self._reply, self._response, self._cancelled = None, "", False
        if reply is None or not self.spoke:
            return reply
        return None if reply[0] is ReplyKind.LAST_WORDS else (ReplyKind.ANSWER, CONTINUE)


def back_from(destination: str, unreached: str) -> str:
    """What to say to a caller who returns; ``unreached``: the cause why ``destination`` could not
    be reached, or empty."""
    if not unreached:
        return (
            f"The caller was connected to {destination} and is back with you now. Ask in a few"
            " words whether there is anything else."
        )
    why = _UNREACHED.get(unreached, "the call could not be connected")
    return (
        f"The caller is back with you now, without having spoken to {destination}: {why}. Say so in"
        " a few words, and ask how else you can help."
    )


_UNREACHED = {
    "USER_BUSY": "the line is busy",
    "NO_ANSWER": "nobody answered",
    "NO_USER_RESPONSE": "nobody answered",
    "CALL_REJECTED": "the call was declined",
}
