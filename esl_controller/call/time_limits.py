"""What a conversation does when its time has come: idle prompts, the warning, the limit. [core]

Part of ``conversation.py``; ``timers.py`` says when it is time for what. A caller who speaks is let
finish, for a while, before they are warned or the conversation ends.
"""

from __future__ import annotations

from typing import assert_never

from esl_controller.call import instructions
from esl_controller.call.actions import Actions
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.replies import ReplyKind
from esl_controller.call.timers import Due
from esl_controller.secretaries.schema import Limits


class TimeLimits:
    """Keeps the ``limits`` of the conversation whose ``state`` it is."""

    def __init__(self, limits: Limits, state: ConversationState) -> None:
        self._limits = limits
        self._turns = state.turns
        self._timers = state.timers
        self._ending = state.ending
        self._state = state

    def time_up(self, now: float) -> Actions:
        """Do whatever it is time for."""
        actions: Actions = []
        while (due := self._timers.pop_due(now)) is not None:
            actions += self._do(due, now)
        return actions

    def caller_finished(self, now: float) -> Actions:
        """End a conversation whose limit has waited for a caller who spoke, once they have
        finished."""
        waits = self._timers.limit_waits and not self._turns.caller_has_floor
        return self._limit_reached(now) if waits else []

    def _do(self, due: Due, now: float) -> Actions:
        match due:
            case Due.IDLE:
                if not self._timers.count_prompt():
                    return self._ending.say_goodbye(now)
                self._turns.schedule(ReplyKind.PROMPT, instructions.STILL_THERE)
            case Due.WARNING:
                if not self._ending.decided:
                    words = instructions.limit_warning(self._limits.warn_s)
                    self._turns.schedule(ReplyKind.WARNING, words)
            case Due.WARNING_NOW:
                self._turns.must_warn = True
            case Due.LIMIT:
                return self._limit_reached(now)
            case Due.UNANSWERED:
                self._turns.ask_for_answer()
            case Due.UNSAID | Due.LAST_WORDS:
                return [*self._state.interrupt(), *self._ending.leave()]
            case _:
                assert_never(due)
        return []

    def _limit_reached(self, now: float) -> Actions:
        if self._turns.caller_has_floor and self._timers.wait_for_caller(now):
            return []
        # A warning is heard to its end, and the goodbye comes after it.
        cut = [] if self._turns.warning else self._state.interrupt()
        return [*self._ending.say_goodbye(now), *cut]
