"""What became of a call, for its record; docs/record.md says what each word means. [core]

Part of ``machine.py``. The record's own word for a call that nobody took up again, ``lost``, is
``store/records.py``'s.
"""

from __future__ import annotations

COMPLETED = "completed"
TRANSFERRED = "transferred"
NOT_REACHED = "not reached"
INTERRUPTED = "interrupted"
MODEL_LOST = "model lost"
FAILED = "failed"
NO_AUDIO = "no audio"

MEDIA_TIMEOUT = "MEDIA_TIMEOUT"  # FreeSWITCH's cause: no audio came from the caller any more


class Outcome:
    """What has happened to one call so far.

    ``talked``: a conversation took place, here or in another process. ``faulty``: we end it because
    it cannot go on. ``given_back``: to the switch, where it may live on.
    """

    def __init__(self) -> None:
        self.talked = False
        self.faulty = False
        self.given_back = False

    def word(self, cause: str, *, ended: bool, model_lost: bool) -> str:
        """The outcome of a call that has ended with ``cause``, or that was let go of.

        ``model_lost``: no model could be had.
        """
        if cause == TRANSFERRED:
            return TRANSFERRED
        if self.given_back:
            return INTERRUPTED  # even without a model: another controller may have one
        if model_lost:
            return MODEL_LOST
        if not ended:
            return INTERRUPTED
        if self.faulty:
            return FAILED
        return COMPLETED if self.talked and cause != MEDIA_TIMEOUT else NO_AUDIO
