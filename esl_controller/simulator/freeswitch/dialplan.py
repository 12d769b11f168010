"""The extensions that the stand-in knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from esl_controller.simulator.freeswitch.session import Action

DOMAIN_UUID = "96f6142d-02b1-49fa-8bcb-f98658bb831f"
SECRETARY_UUID = "dc923a2f-b88a-4a2f-8029-d6e0c06893c5"

Extensions = Mapping[str, Sequence[Action]]


@dataclass(frozen=True, slots=True)
class Ladder:
    """How the voice extension hands a call over: the first try, and those after it.

    With ``resume`` a call outlives its controller: the next try follows. After the last one
    comes ``fallback``, then the end of the call.
    """

    tries: int = 5
    wait: float = 0.3
    """Seconds between two tries."""
    resume: bool = True
    fallback: tuple[Action, ...] = ()


def extensions(target: str, ladder: Ladder) -> dict[str, tuple[Action, ...]]:
    """The dialplan: the voice extension for every number but these, as in capture ``inbound``.

    1001 is an agent who answers and says nothing, 9000 a caller who listens, 9196 an echo.
    """
    return {
        "": voice_extension(target, ladder),
        "1001": (Action("answer"), Action("playback", "silence_stream://-1")),
        "9000": (Action("answer"), Action("playback", "silence_stream://-1")),
        "9196": (Action("answer"), Action("echo")),
    }


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
