"""The caller's phone has put us on hold. [core]

Part of ``conversation.py``. Nobody hears us then, so nothing is said and all timers rest. This is
not the hold that the model asks for (``tool_calls.py``): there the caller waits for us. Times are
seconds of the call's clock.
"""

from __future__ import annotations

from esl_controller.call.actions import Actions, Hangup, HoldSpeech, Note, ReleaseSpeech
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.ending import CLEARING

HELD_S = 600.0  # a caller who is away for longer has forgotten us


class CallerHold:
    """Whether the caller holds us now, in the conversation whose ``state`` it is."""

    def __init__(self, state: ConversationState) -> None:
        self._state = state
        self._since: float | None = None

    @property
    def active(self) -> bool:
        """Whether the caller holds us."""
        return self._since is not None

    @property
    def deadline(self) -> float | None:
        """When the hold has lasted too long."""
        return None if self._since is None else self._since + HELD_S

    def begin(self, now: float) -> Actions:
        """The caller holds us from now on."""
        if self.active:
            return []
        self._since = now
        return [*self._state.turns.interruption.drop_check(), HoldSpeech()]

    def end(self, now: float) -> Actions:
        """The caller is back: go on where the hold began."""
        if self._since is None:
            return []
        lasted, self._since = now - self._since, None
        self._state.timers.put_off(lasted)
        self._state.tools.put_off(lasted)
        return [ReleaseSpeech()]

    def time_up(self, now: float) -> Actions:
        """End the call if the hold has lasted too long."""
        if self.deadline is None or now < self.deadline:
            return []
        self._since = None
        ending = self._state.ending
        note = Note("the call is ended", f"the caller had us on hold for {HELD_S:g} s")
        return [note, *ending.decide(Hangup(CLEARING), now), *ending.leave()]
