"""Who has the floor: the caller, or us with one reply at a time. [core]

Part of ``conversation.py``: what the sequencer (``replies.py``), the check of the caller's sounds
(``interruption.py``) and the items that the caller still hears say together.
"""

from __future__ import annotations

from esl_controller.call.actions import Actions, Interrupt
from esl_controller.call.interruption import Interruption
from esl_controller.call.replies import Replies, Want


class Floor:
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

    def want(self, want: Want, words: str = "") -> None:
        """Have the model speak; one that takes turns itself needs only to be told ``words``, which
        it cannot know."""
        if self.own_turns or words:
            self.replies.want(want, words)
        else:
            self.replies.expected = True

    def may(self, want: Want) -> bool:
        """Whether the model may speak now, as far as speech is concerned."""
        if want is Want.LAST_WORDS:
            return True
        return not self.caller_has_it and (want < Want.NOTICE or not self._items)

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
        self.replies.drop(Want.ANSWER, Want.NOTICE, Want.PROMPT)
        return [Interrupt(), *self.replies.cancel()]

    def silenced(self) -> None:
        """The way to the caller is gone, and what waited in it."""
        self.caller.silenced()

    def queued(self, item: str) -> None:
        """An item of the model's is to be heard."""
        self._items.add(item)
        self.replies.speaks()

    def started(self, item: str) -> Actions:
        """The first sample of an item is heard."""
        if item in self._items:
            self.replies.heard()
        return []

    def finished(self, item: str) -> None:
        """An item was heard, or dropped; others than the model's are music, or a sentence."""
        if item in self._items:
            self.replies.heard()
            self._items.discard(item)
            self.greeted = self.greeted or not self._items
