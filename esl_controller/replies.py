"""One reply of the model at a time: what it is to say next, and why. [core]

Part of ``conversation.py``. Whatever wants the model to speak puts a ``Want`` here; the most urgent
one is asked for when nothing is in flight, so that two of the same kind become one reply.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from esl_controller.actions import Actions, Cancel, Respond

CONTINUE = "You were cut off while you spoke. Go on from there, without a greeting or an apology."


class Want(IntEnum):
    """Why the model is to speak; the first one comes first."""

    LAST_WORDS = 1
    GREETING = 2
    ANSWER = 3
    NOTICE = 4
    PROMPT = 5


class Replies:
    """The sequencer. ``spoke``: whether the reply in flight, or the last one, came to audio."""

    def __init__(self) -> None:
        self.spoke = False
        self._wants: dict[Want, str] = {}
        self._reply: tuple[Want, str] | None = None  # asked for or in flight
        self._response = ""  # its id, once it has begun
        self._cancel_next = False

    @property
    def in_flight(self) -> bool:
        """Whether a reply was asked for and is not over."""
        return self._reply is not None

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight and nothing wanted."""
        return self._reply is None and not self._wants

    def want(self, want: Want, words: str = "") -> None:
        """Have the model speak; ``words``: instructions, or what the conversation asks for."""
        self._wants[want] = words

    def drop(self, *wants: Want) -> None:
        """What is not wanted any more, all if none is named."""
        for want in wants or tuple(Want):
            self._wants.pop(want, None)

    def next(self, may: Callable[[Want], bool]) -> Actions:
        """Ask for the most urgent reply, if it may be spoken now."""
        if self.in_flight or not self._wants:
            return []
        want = min(self._wants)
        if not may(want):
            return []
        words = self._wants.pop(want)
        self._reply = want, words
        self.spoke = False
        return [Respond(words)]

    def started(self, response: str) -> Actions:
        """The model began to reply, perhaps by itself."""
        self._response = response
        self._reply = self._reply or (Want.ANSWER, "")
        if not self._cancel_next:
            return []
        self._cancel_next = False
        return [Cancel()]

    def done(self) -> None:
        """The reply is over, however."""
        self._reply, self._response, self._cancel_next = None, "", False

    def cancel(self) -> Actions:
        """Stop the reply in flight, as soon as it has a name."""
        if self._response:
            return [Cancel()]
        self._cancel_next = self.in_flight
        return []

    def lost(self) -> None:
        """The reply in flight will not come: it is wanted again, or the rest of it."""
        if self._reply is not None:
            want, words = self._reply
            if not self.spoke:
                self._wants.setdefault(want, words)
            elif want is not Want.LAST_WORDS:
                self._wants.setdefault(Want.ANSWER, CONTINUE)
        self.done()
