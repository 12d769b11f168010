"""Which audio passes: the caller's on its way to the agent, the agent's to the caller. [core]

Part of ``machine.py``. Audio never visits the decisions; it passes two gates, which ``SetGates``
opens and closes: the caller's in ``session/caller.py``, the agent's in
``session/agent_session.py`` (``SpeechOutput.gate_open``).
"""

from __future__ import annotations

from typing import Literal

from esl_controller.call.actions import Actions, SetGates


class Gates:
    """The two gates of one call, closed at first."""

    def __init__(self) -> None:
        self._gates = SetGates()

    def set(self, *, talking: bool, music: bool, secret: bool, held: bool) -> Actions:
        """Set them where that changes anything. ``talking``: the call is in a conversation;
        ``music``: hold music is playing; ``secret``: digits are typed that nobody may hear;
        ``held``: the caller holds us."""
        caller: Literal["closed", "open", "silent"] = "closed"
        if talking and not music:  # hold music costs nothing, also where seconds are paid for
            caller = "silent" if secret or held else "open"
        gates = SetGates(caller, agent=talking)
        if gates == self._gates:
            return []
        self._gates = gates
        return [gates]
