"""A caller who waits for a model that errs hears a sentence of ours. [core]

Part of ``model_recovery.py``. Whatever the model's fault is: it cannot be reached, refuses a reply,
fails at it, or says nothing. Times are seconds of the call's clock.
"""

from __future__ import annotations

from esl_controller.call.actions import Actions, PlaySentence
from esl_controller.call.replies import Waiting

SILENCE_S = 1.5  # until a caller who hears nothing is asked for a moment's patience
THINKING_S = 3.0  # the same once the reply has begun: any sooner, many good answers would come late
SILENCE_AGAIN_S = 10.0  # until the caller hears that sentence again


class Patience:
    """One caller's."""

    def __init__(self) -> None:
        self._waiting = Waiting.NOTHING
        self._due: float | None = None

    def follow(self, waiting: Waiting, now: float) -> None:
        """Note what the caller is waiting for now."""
        if waiting is self._waiting:
            return
        self._waiting = waiting
        if waiting is Waiting.NOTHING:
            self._due = None
        elif waiting is Waiting.AUDIO:
            self._due = now + THINKING_S
        elif self._due is None or self._due > now + SILENCE_S:
            self._due = now + SILENCE_S

    def time_up(self, now: float, *, silent: bool) -> Actions:
        """The sentence, if it is due. ``silent``: the caller hears nothing, and could."""
        if not silent or self._due is None or now < self._due:
            return []
        self._due = now + SILENCE_AGAIN_S
        return [PlaySentence("moment")]

    def deadline(self, *, silent: bool) -> float | None:
        """When ``time_up`` has something to do."""
        return self._due if silent else None
