"""Who has the floor: the caller, or the agent with one reply at a time. [core]

Part of ``conversation.py``. ``TurnTaking`` combines three things: the reply in flight
(``replies.py``), the items that the caller still hears, and the sound that the caller is making.

A sound while we speak is either an interruption or a cough. ``Interruption`` pauses our speech at
once and has the sound checked. If it is speech, the caller takes the floor. If not, our speech goes
on from the same sample, and for the rest of that reply nothing pauses it before it is confirmed:
whatever looked like speech once (an echo, say) will do so again.
"""

from __future__ import annotations

from esl_controller.call.actions import (
    Actions,
    CheckSpeech,
    ForgetItem,
    Interrupt,
    Pause,
    StopCheck,
    Unpause,
)
from esl_controller.call.replies import Replies, ReplyKind


class Interruption:
    """``speaking``: the caller has the word; ``paused``: our speech waits for a verdict."""

    def __init__(self) -> None:
        self.speaking = False
        self.paused = False
        self._checking = False
        self._fooled = False

    def new_reply(self) -> None:
        """What fooled us in the last reply may be a caller in this one."""
        self._fooled = False

    def check(self, *, pause: bool) -> Actions:
        """The caller makes a sound while we speak; ``pause``: it may interrupt us."""
        if self._checking:
            return []
        self._checking = True
        if self._fooled or not pause:
            return [CheckSpeech()]
        self.paused = True
        return [Pause(), CheckSpeech()]

    def confirmed(self) -> bool:
        """It is speech; whether that is news."""
        news = self._checking and not self.speaking
        self.speaking = self.speaking or news
        return news

    def doubted(self) -> Actions:
        """It is none, so far."""
        if not self._checking or self.speaking:
            return []
        self._fooled = True
        return self._resume()

    def stopped(self, item: str) -> Actions:
        """The sound, or the turn, is over; without a confirmation it was no speech."""
        if not self._checking:
            self.speaking = False
            return []
        noise = not self.speaking
        self._fooled = self._fooled or noise
        return [*self.release(), *([ForgetItem(item)] if noise and item else [])]

    def silenced(self) -> None:
        """Our speech was dropped: nothing of it waits any more."""
        self.paused = False

    def release(self) -> Actions:
        """Whatever the caller does, it is of no interest any more."""
        stop: Actions = [StopCheck()] if self._checking else []
        self.speaking = self._checking = False
        return [*stop, *self._resume()]

    def _resume(self) -> Actions:
        resume: Actions = [Unpause()] if self.paused else []
        self.paused = False
        return resume


class TurnTaking:
    """``own_turns``: we decide when the model replies; ``during_greeting``: it may be interrupted.

    ``greeted``: the greeting was heard, or the caller had something better to say.
    """

    def __init__(self, *, own_turns: bool, during_greeting: bool) -> None:
        self.own_turns = own_turns
        self.greeted = False
        self.replies = Replies()
        self.caller = Interruption()
        self._during_greeting = during_greeting
        self._items: set[str] = set()  # queued or being heard

    def describe(self) -> str:
        """Who has the floor, for ``Call.describe``."""
        if self.caller.speaking:
            return "caller"
        if self.caller.paused:
            return "caller?"
        return "agent" if self._items else "nobody"

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model, or will in a moment."""
        return bool(self._items)

    @property
    def all_said(self) -> bool:
        """Whether nothing is heard, in flight or wanted."""
        return self.replies.quiet and not self._items

    @property
    def free(self) -> bool:
        """Whether nobody speaks or is about to."""
        return self.all_said and not self.caller_has_it

    @property
    def caller_has_it(self) -> bool:
        """Whether the caller speaks, or may turn out to."""
        return self.caller.speaking or self.caller.paused

    @property
    def over_us(self) -> bool:
        """Whether a sound of the caller falls into a reply."""
        return self.replies.in_flight or bool(self._items)

    @property
    def interruptible(self) -> bool:
        """Whether the caller may take the floor from us now."""
        return self.greeted or self._during_greeting

    def want(self, want: ReplyKind, words: str = "") -> None:
        """Have the model speak; one that takes turns itself needs only to be told ``words``, which
        it cannot know."""
        if self.own_turns or words:
            self.replies.want(want, words)
        else:
            self.replies.expected = True

    def may(self, want: ReplyKind) -> bool:
        """Whether the model may speak now, as far as speech is concerned."""
        if want is ReplyKind.LAST_WORDS:
            return True
        return not self.caller_has_it and (want < ReplyKind.NOTICE or not self._items)

    def sound(self) -> Actions:
        """The caller makes one."""
        if self.over_us and self.own_turns:
            return self.caller.check(pause=self.interruptible)
        self.caller.speaking = True  # a model that takes turns itself falls silent by itself
        return []

    def interrupt(self) -> Actions:
        """Be silent, and have the model know it."""
        self.silenced()
        self.replies.heard()
        self._items.clear()
        self.greeted = True
        self.replies.drop(ReplyKind.ANSWER, ReplyKind.NOTICE, ReplyKind.PROMPT)
        return [Interrupt(), *self.replies.cancel()]

    def silenced(self) -> None:
        """The way to the caller is gone, and what waited in it."""
        self.caller.silenced()

    def queued(self, item: str) -> None:
        """An item of the model's is to be heard."""
        self._items.add(item)
        self.replies.speaks()

    def started(self, item: str) -> None:
        """The first sample of an item is heard."""
        if item in self._items:
            self.replies.heard()

    def finished(self, item: str) -> None:
        """An item was heard, or dropped; others than the model's are music, or a sentence."""
        if item in self._items:
            self.replies.heard()
            self._items.discard(item)
            self.greeted = self.greeted or not self._items
