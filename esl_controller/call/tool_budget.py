"""How many functions the model may call before it speaks. [core]

Part of ``tool_calls.py``. A model can call functions without end: each result asks for a reply, and
each reply calls the next function, while the caller hears nothing. In one turn of the caller it may
do so in ``ROUNDS`` responses, with ``CALLS`` calls in all. Then it is asked to speak, without
functions; what it calls all the same is refused. What ends the conversation is always allowed.
"""

from __future__ import annotations

from esl_controller.call.instructions import SPEAK_NOW

ROUNDS = 8
CALLS = 16
INSIST = 2  # how often it is asked to speak; then it is the caller's turn
IN_RESPONSE = 64  # calls of one response that get an answer


class ToolBudget:
    """What the model may still do in this turn of the caller. ``refused``: calls too many."""

    def __init__(self) -> None:
        self.refused = self._rounds = self._calls = self._insisted = 0

    @property
    def spent(self) -> bool:
        """Whether it has to speak now."""
        return self._rounds >= ROUNDS or self._calls >= CALLS

    def new_turn(self) -> None:
        """The caller said or typed something."""
        self.refused = self._rounds = self._calls = self._insisted = 0

    def new_round(self) -> None:
        """A response called functions."""
        self._rounds += 1

    def take(self) -> bool:
        """Whether it may call one more function; counts it."""
        if self._rounds > ROUNDS or self._calls >= CALLS:
            self.refused += 1
            return False
        self._calls += 1
        return True

    def next_words(self) -> str | None:
        """The instructions with which it is asked to go on from its results; None: not at all."""
        if not self.spent:
            return ""
        self._insisted += 1
        return SPEAK_NOW if self._insisted <= INSIST else None
