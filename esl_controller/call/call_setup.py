"""What a call needs before its conversation, which another process may have given it. [core]

Part of ``machine.py``: a limit at the switch, a recording, a word to a caller who has waited. A
call that begins here with a ``resumption`` goes on with what another process began
(``snapshot.py``).
"""

from __future__ import annotations

from dataclasses import replace

from esl_controller.call.actions import (
    Actions,
    ConfirmTaken,
    LimitCall,
    PlaySentence,
    StartRecording,
)
from esl_controller.call.conversation import Conversation
from esl_controller.call.snapshot import Resumption

AWAY_S = 1.0  # a caller who has waited longer for the next controller hears that we are back
BACKSTOP_S = 180.0  # this long after the call's limit, FreeSWITCH ends the call itself


class CallSetup:
    """Sets up one call. ``max_call_s``: the seconds that it may last; ``record``: whether the
    switch is to record it.

    ``resumption``: what another process knew of it; to be set before the first event.
    """

    def __init__(self, *, max_call_s: float, record: bool) -> None:
        self.resumption: Resumption | None = None
        self._max_call_s = max_call_s
        self._record = record

    @property
    def talked(self) -> bool:
        """Whether a conversation took place in another process."""
        return self.resumption is not None

    def limit(self) -> Actions:
        """If we freeze in a moment, nobody else would end the call."""
        if self.resumption is not None and not self.resumption.snapshot.back_from:
            return []  # the switch still has the one of the first controller
        return [LimitCall(self._max_call_s + BACKSTOP_S)]

    def recording(self) -> Actions:
        """Have the call recorded, unless it is already."""
        recorded = self.resumption is not None and self.resumption.recorded
        return [StartRecording()] if self._record and not recorded else []

    def announcement(self) -> Actions:
        """A caller who has waited long for us hears at once, and once, that we are back; the model
        may take longer."""
        if self.resumption is None or self.resumption.away_s <= AWAY_S:
            return []
        self.resumption = replace(self.resumption, away_s=0.0)
        return [PlaySentence("back")]

    def begin(self, conversation: Conversation, now: float) -> Actions:
        """The call has all that it needs: begin to talk, or go on."""
        announcement = self.announcement()
        if self.resumption is None:
            return [ConfirmTaken(), *conversation.begin(now)]
        return [ConfirmTaken(), *announcement, *conversation.resume(self.resumption, now)]
