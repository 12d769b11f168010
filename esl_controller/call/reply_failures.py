"""A reply that the model fails to give: when it is asked for again, and what else is tried. [core]

Part of ``turn_taking.py``. The same request again helps against most errors; where it fails three
times, another connection may. A caller who waits for an answer has ``PATIENCE_S``, over all
connections together. Times are seconds of the call's clock.
"""

from __future__ import annotations

from esl_controller.call.agent import PATIENCE_S, Recovery

AGAIN_S = (0.2, 0.5, 1.0)  # before a reply is asked for again; the service may want more
TRIES = 3  # on one connection


class ReplyFailures:
    """The failures since the last reply that succeeded.

    ``not_before``: when the reply may be asked for again, 0 if it may now. ``needs``: what the call
    has to do about the model, ASK_AGAIN if asking again will do.
    """

    def __init__(self) -> None:
        self.not_before = 0.0
        self.needs = Recovery.ASK_AGAIN
        self._since: float | None = None
        self._count = 0  # on this connection

    @property
    def any(self) -> bool:
        """Whether the last reply failed."""
        return self._since is not None

    def failed(self, recovery: Recovery, after_s: float, now: float) -> None:
        """A reply failed or was refused; ``after_s``: the service wants us to wait so long."""
        if self._since is None:
            self._since = now
        self._count += 1
        wait = max(after_s, AGAIN_S[min(self._count, len(AGAIN_S)) - 1])
        self.not_before = now + wait
        if recovery is Recovery.NEXT_MODEL or self.not_before > self._since + PATIENCE_S:
            self.needs = Recovery.NEXT_MODEL
        elif recovery is Recovery.RECONNECT or (self._count >= TRIES and not after_s):
            self.needs = Recovery.RECONNECT

    def succeeded(self) -> None:
        """A reply did not fail."""
        self._since = None
        self.reconnected()

    def reconnected(self) -> None:
        """Another connection begins, or will."""
        self.not_before, self.needs, self._count = 0.0, Recovery.ASK_AGAIN, 0

    def may_ask(self, now: float) -> bool:
        """Whether a reply may be asked for."""
        if self.needs is not Recovery.ASK_AGAIN or now < self.not_before:
            return False
        self.not_before = 0.0
        return True
