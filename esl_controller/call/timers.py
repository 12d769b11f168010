"""What a conversation does by the clock: idle prompts, the warning, the limit. [core]

Part of ``conversation.py``. Times are seconds of the call's clock.
"""

from __future__ import annotations

from enum import Enum

from esl_controller.call.snapshot import Snapshot
from esl_controller.secretaries.schema import Limits

TONES_S = 60.0  # in place of idle_s = 0, once a tone was heard: a line of nothing else must end
UNSAID_S = 10.0  # of silence for which a farewell or an announcement is waited for
UNANSWERED_S = (
    4.0  # of silence for which a model that takes turns itself may leave a turn unanswered
)
LAST_WORDS_S = 120.0  # for all that is said and waited for at the end: a backstop, heard by nobody
WARNING_PATIENCE_S = 5.0  # for a caller who speaks when they are to be warned
LIMIT_PATIENCE_S = 10.0  # for a caller who speaks when the call has to end


class Due(Enum):
    """What it is time for."""

    IDLE = "nobody has said anything for a while"
    WARNING = "the call has to end soon"
    WARNING_NOW = "and the caller does not stop speaking"
    LIMIT = "the call has to end now"
    UNANSWERED = "a model that takes turns itself does not take this one"
    UNSAID = "the last words do not come"
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
        self._tones = False  # since the caller said or typed something
        self._silent_until: float | None = None  # the last IDLE that a sound put off

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
        idle_s = self._limits.idle_s or (TONES_S if self._tones else 0.0)
        if idle and idle_s:
            self._due.setdefault(Due.IDLE, now + idle_s)
        elif Due.IDLE in self._due:
            self._silent_until = self._due.pop(Due.IDLE)

    def tone_heard(self) -> None:
        """The sound that ended the silence was not the caller: it is counted on."""
        self._tones = True
        if self._silent_until is not None:
            self._due[Due.IDLE] = self._silent_until

    def caller_active(self) -> None:
        """The caller said or typed something."""
        self.prompts = 0
        self._tones, self._silent_until = False, None

    def count_turn(self) -> bool:
        """Count a turn of the caller. Returns whether it was one too many."""
        self.caller_active()
        self.turns += 1
        return 0 < self._limits.max_turns < self.turns

    def count_prompt(self) -> bool:
        """Count an idle prompt. Returns whether it may be spoken, or is one too many."""
        self.prompts += 1
        return self.prompts <= (self._limits.idle_prompts if self._limits.idle_s else 0)

    def last_words(self, now: float) -> None:
        """The last words begin: only they can take too long now."""
        self._due = {Due.LAST_WORDS: now + LAST_WORDS_S}

    def set_silent_end(self, silent: bool, now: float) -> None:
        """Note whether the conversation is ending and the caller hears nothing of it. What is heard
        may take as long as it is."""
        self._set(Due.UNSAID, now + UNSAID_S if silent else None)

    def set_unanswered(self, unanswered: bool, now: float) -> None:
        """Note whether the caller, in silence, waits for a model that takes turns itself."""
        self._set(Due.UNANSWERED, now + UNANSWERED_S if unanswered else None)

    def _set(self, due: Due, at: float | None) -> None:
        """Count from when it began; None: it is not so."""
        if at is not None:
            self._due.setdefault(due, at)
        else:
            self._due.pop(due, None)

    @property
    def limit_waits(self) -> bool:
        """Whether the limit has passed, and a caller who speaks may finish."""
        return self._due.get(Due.LIMIT, self.limit_at) > self.limit_at

    def wait_for_caller(self, now: float) -> bool:
        """Let a caller who speaks at the limit finish. Returns False if that took too long."""
        until = self.limit_at + LIMIT_PATIENCE_S
        if now < until:
            self._due[Due.LIMIT] = until
        return now < until

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
        if due is Due.IDLE:
            self._silent_until = None
        if due is Due.WARNING:
            self._due[Due.WARNING_NOW] = now + min(WARNING_PATIENCE_S, self._limits.warn_s / 2)
        return due

    def deadline(self) -> float | None:
        """When ``pop_due`` has something to return."""
        return min(self._due.values(), default=None)
