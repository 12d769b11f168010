"""What a conversation does by the clock: idle prompts, the warning, the limit. [core]

Part of ``conversation.py``. Times are seconds of the call's clock.
"""

from __future__ import annotations

from enum import Enum

from esl_controller.call.snapshot import Snapshot
from esl_controller.secretaries.schema import Limits

LAST_WORDS_S = 10.0  # a farewell or an announcement that takes longer is cut off


class Due(Enum):
    """What it is time for."""

    IDLE = "nobody has said anything for a while"
    WARNING = "the call has to end soon"
    LIMIT = "the call has to end now"
    LAST_WORDS = "the last words have taken too long"


class Timers:
    """The limits of one conversation, in time and in turns.

    ``turns``: of the caller, so far; ``prompts``: idle prompts since the last of them;
    ``limit_at``: when the conversation has to end.
    """

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

    def resume(self, now: float, snapshot: Snapshot) -> None:
        """Go on in another process. A limit that has passed is due at once; a warning that was due
        meanwhile has probably been given."""
        self.turns, self.prompts = snapshot.turns, snapshot.prompts
        self.limit_at = self._due[Due.LIMIT] = snapshot.ends_at
        warning = self.limit_at - self._limits.warn_s
        if self._limits.warn_s and warning > now:
            self._due[Due.WARNING] = warning

    def set_idle(self, idle: bool, now: float) -> None:
        """Note whether the conversation is idle; the time is counted from when that began."""
        if idle and self._limits.idle_s:
            self._due.setdefault(Due.IDLE, now + self._limits.idle_s)
        else:
            self._due.pop(Due.IDLE, None)

    def caller_active(self) -> None:
        """The caller said or typed something."""
        self.prompts = 0

    def count_turn(self) -> bool:
        """Count a turn of the caller. Returns whether it was one too many."""
        self.caller_active()
        self.turns += 1
        return 0 < self._limits.max_turns < self.turns

    def count_prompt(self) -> bool:
        """Count an idle prompt. Returns whether it may be spoken, or is one too many."""
        self.prompts += 1
        return self.prompts <= self._limits.idle_prompts

    def last_words(self, now: float) -> None:
        """The last words begin: only they can take too long now."""
        self._due = {Due.LAST_WORDS: now + LAST_WORDS_S}

    def stop(self) -> None:
        """The conversation is over: nothing is due any more."""
        self._due.clear()

    def restart(self) -> None:
        """The conversation goes on after all. Its limit stands."""
        self._due = {Due.LIMIT: self.limit_at}

    def put_off(self, seconds: float) -> None:
        """The caller held us for so long, which counts for no limit."""
        self._due.pop(Due.IDLE, None)
        self._due = {what: at + seconds for what, at in self._due.items()}
        self.limit_at += seconds

    def pop_due(self, now: float) -> Due | None:
        """One thing that it is time for, if any; each once."""
        due = next((what for what, at in self._due.items() if now >= at), None)
        if due is not None:
            del self._due[due]
        return due

    def deadline(self) -> float | None:
        """When ``pop_due`` has something to return."""
        return min(self._due.values(), default=None)
