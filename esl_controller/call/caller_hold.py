"""The caller's phone has put us on hold: since when, and for how long at most. [core]

Part of ``conversation.py``. Nobody hears us then, so nothing is said and all timers rest. This is
not the hold that the model asks for (``tool_calls.py``): there the caller waits for us. Times are
seconds of the call's clock.
"""

from __future__ import annotations

HELD_S = 600.0  # a caller who is away for longer has forgotten us


class CallerHold:
    """Whether the caller holds us now."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def active(self) -> bool:
        """Whether the caller holds us."""
        return self._since is not None

    @property
    def deadline(self) -> float | None:
        """When the hold has lasted too long."""
        return None if self._since is None else self._since + HELD_S

    def begin(self, now: float) -> None:
        """The caller holds us from now on."""
        self._since = now

    def end(self, now: float) -> float:
        """The caller is back; returns the seconds that it lasted."""
        assert self._since is not None
        lasted, self._since = now - self._since, None
        return lasted
