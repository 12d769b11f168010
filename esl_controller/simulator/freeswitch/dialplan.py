"""The extensions that the stand-in knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from esl_controller.simulator.freeswitch.session import Action

DOMAIN_UUID = "96f6142d-02b1-49fa-8bcb-f98658bb831f"
SECRETARY_UUID = "dc923a2f-b88a-4a2f-8029-d6e0c06893c5"

VOICE_NUMBER = "8000"

Extensions = Mapping[str, Sequence[Action]]


@dataclass(frozen=True, slots=True)
class Ladder:
    """How the voice extension hands a call over: the first try, and those after it.

    A call outlives its controller: the next try follows. After the last one comes ``fallback``,
    then the end of the call.
    """

    tries: int = 5
    wait: float = 0.3
    """Seconds between two tries."""
    resume: bool = True
    """Whether to set ``socket_resume``; what that changes, :mod:`outbound` says."""
    fallback: tuple[Action, ...] = ()


def extensions(target: str, ladder: Ladder) -> dict[str, tuple[Action, ...]]:
    """The dialplan: the voice extension, and nothing else.

    A call to any other number ends with NO_ROUTE_DESTINATION, as where FreeSWITCH finds no
    extension (measured on 1.10.12: SIP and loopback, ``originate`` answers with that cause).
    """
    return {VOICE_NUMBER: voice_extension(target, ladder)}


def voice_extension(target: str, ladder: Ladder) -> tuple[Action, ...]:
    """The actions that hand a call to the controller at ``target`` (``HOST:PORT|HOST:PORT``)."""
    dial = Action("socket", f"{target} async full")
    actions: list[Action] = []
    if ladder.resume:
        actions.append(Action("set", "socket_resume=true"))
    actions.append(dial)
    for _ in range(ladder.tries - 1):
        actions += [Action("sleep", str(round(ladder.wait * 1000))), dial]
    return (*actions, *ladder.fallback, Action("hangup"))
