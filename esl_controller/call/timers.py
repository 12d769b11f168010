"""What a conversation does by the clock: ask whether the caller is there, warn, end. [core]

Part of ``conversation.py``. Times are seconds of the call's clock.
"""

from __future__ import annotations

from enum import Enum

from esl_controller.call.snapshot import Snapshot
from esl_controller.secretaries.schema import Limits

LAST_WORDS_S = 10.0  # the hard cap on a farewell or an announcement


class Due(Enum):
    """What it is time for."""

    IDLE = "nobody has said anything for a while"
    WARNING = "the call has to end soon"
    LIMIT = "it has to end now"
    LEAVE = "the last words have taken too long"


class Timers:
    """The times of one conversation: of it ``turns`` of the caller so far, ``prompts`` since the
    last one, and ``limit_at``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.prompts = 0
        self.turns = 0
        self.limit_at = 0.0
        self._due: dict[Due, float] = {}

    def begin(self, now: float) -> None:
        """The conversation begins."""
        limits = self._limits
        self.limit_at = self._due[Due.LIMIT] = now + limits.max_call_s
        if 0 < limits.warn_s < limits.max_call_s:
            self._due[Due.WARNING] = self.limit_at - limits.warn_s

    def resume(self, now: float, memory: Snapshot) -> None:
        """It goes on; what is due by now is due at once, but for a warning that was given."""
        self.turns, self.prompts = memory.turns, memory.prompts
        self.limit_at = self._due[Due.LIMIT] = memory.ends_at
        warning = self.limit_at - self._limits.warn_s
        if self._limits.warn_s and warning > now:
            self._due[Due.WARNING] = warning

    def rest(self, now: float, *, at_rest: bool) -> None:
        """Whether everybody is silent; from when they are on, time counts."""
        if at_rest and self._limits.idle_s:
            self._due.setdefault(Due.IDLE, now + self._limits.idle_s)
        else:
            self._due.pop(Due.IDLE, None)

    def caller_acts(self) -> None:
        """There is somebody."""
        self.prompts = 0

    def turn(self) -> bool:
        """The caller has said something; whether that was more than is allowed."""
        self.caller_acts()
        self.turns += 1
        return 0 < self._limits.max_turns < self.turns

    def prompt(self) -> bool:
        """Nobody answers; whether to ask once more."""
        self.prompts += 1
        return self.prompts <= self._limits.idle_prompts

    def last_words(self, now: float) -> None:
        """They are said now, and nothing else is due."""
        self._due = {Due.LEAVE: now + LAST_WORDS_S}

    def gone(self) -> None:
        """Nothing is due any more."""
        self._due.clear()

    def back(self) -> None:
        """The conversation goes on; it has lasted as long as before."""
        self._due = {Due.LIMIT: self.limit_at}

    def next(self, now: float) -> Due | None:
        """What it is time for, once each."""
        due = next((what for what, at in self._due.items() if now >= at), None)
        if due is not None:
            del self._due[due]
        return due

    def deadline(self) -> float | None:
        """When it is time for something."""
        return min(self._due.values(), default=None)
