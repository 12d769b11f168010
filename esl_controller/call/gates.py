"""Which audio passes: the caller's on its way to the agent, the agent's to the caller. [core]

Part of ``machine.py``. Audio never visits the decisions; it passes two gates, which ``SetGates``
opens and closes: the caller's in ``session/caller.py``, for the stream and the lane alike, the
agent's in ``session/agent_session.py`` (``SpeechOutput.gate_open``).

``Call.handle`` sets them after each event, by what is true then. Hold music plays from the moment
when the model has said that it will hold the line until ``unhold``, a key or the end of its time;
digits are secret from the request for them to the last one or to the end of their time
(``tool_calls.py``). Both are over at a transfer and at the end.
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
