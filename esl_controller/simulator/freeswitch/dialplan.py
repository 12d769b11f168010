"""The dialplan: an extension that hands calls to the controller, and inline actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from esl_controller.simulator.freeswitch.events import Profile

DOMAIN_UUID = "96f6142d-02b1-49fa-8bcb-f98658bb831f"
SECRETARY_UUID = "dc923a2f-b88a-4a2f-8029-d6e0c06893c5"

VOICE_NUMBER = "8000"


@dataclass(frozen=True, slots=True)
class DialplanAction:
    """One step of a dialplan: an application and its argument."""

    app: str
    arg: str = ""
    given: str = ""
    """Run it only if this variable is set when the call enters the extension."""


Extensions = Mapping[str, Sequence[DialplanAction]]


@dataclass(frozen=True, slots=True)
class Ladder:
    """How the voice extension hands a call over: one try after another.

    A call outlives its controller: once that is lost, the next try follows. After the last one
    come ``fallback`` and the hangup. If the controller has copied ``controller_home`` to
    ``controller_again``, its loss makes the tries start from the first.
    """

    tries: int = 5
    wait: float = 0.3
    """Seconds between two tries."""
    waits_ms: tuple[int, ...] = ()
    """Milliseconds before each further try; if given, it replaces ``tries`` and ``wait``."""
    resume: bool = True
    """Whether to set ``socket_resume``; :mod:`outbound` says what that changes."""
    anew: bool = True
    """Whether the tries can start again, as in what ``esl-controller dialplan`` prints."""
    folded: bool = True
    """Whether the further tries stand in one action, as in what ``esl-controller dialplan``
    prints."""
    fallback: tuple[DialplanAction, ...] = ()


def extensions(target: str, ladder: Ladder) -> dict[str, tuple[DialplanAction, ...]]:
    """The dialplan: the voice extension, and nothing else.

    A call to any other number ends with NO_ROUTE_DESTINATION, as it does where FreeSWITCH finds
    no extension (measured on 1.10.12: SIP and loopback, ``originate`` answers with that cause).
    """
    return {VOICE_NUMBER: voice_extension(target, ladder)}


def voice_extension(target: str, ladder: Ladder) -> tuple[DialplanAction, ...]:
    """The actions that hand a call to the controller at ``target`` (``HOST:PORT|HOST:PORT``)."""
    dial = [DialplanAction("socket", f"{target} async full")]
    actions: list[DialplanAction] = []
    if ladder.resume:
        actions.append(DialplanAction("set", "socket_resume=true"))
    if ladder.anew:
        actions += [
            DialplanAction("set", f"controller_home={VOICE_NUMBER} XML ${{context}}"),
            DialplanAction("set", "max_session_transfers=70"),
            DialplanAction(
                "set", "controller_lost_at=${strmicroepoch()}", given="controller_again"
            ),
            DialplanAction("unset", "controller_again", given="controller_again"),
        ]
        dial.append(DialplanAction("transfer", "${controller_again}"))
    actions += dial
    further: list[DialplanAction] = []
    for wait_ms in ladder.waits_ms or [round(ladder.wait * 1000)] * (ladder.tries - 1):
        further += [DialplanAction("sleep", str(wait_ms)), *dial]
    if not ladder.folded:
        actions += further
    elif further:
        line = "^".join(f"{action.app}:{action.arg}" for action in further)
        line = line.replace(" ", r"\s").replace("${", r"\${")
        actions.append(DialplanAction("execute_extension", f"m:^:{line} inline"))
    if ladder.anew:
        stopped = "controller_stopped=${uuid_record(${controller_unrecord})}"
        actions.append(DialplanAction("set", stopped))
    return (*actions, *ladder.fallback, DialplanAction("hangup"))


def inline_actions(profile: Profile) -> list[DialplanAction]:
    """The actions that a call was transferred to by name; none if it was sent to a number.

    ``m:^:set:a=b^hangup`` (mod_dptools.c, ``inline_dialplan_hunt``). The call then keeps the number
    that it had before.
    """
    if profile.dialplan != "inline":
        return []
    actions = in_one_line(profile.number)
    profile.number, profile.rdnis, profile.dialplan = profile.rdnis, "", "XML"
    return actions


def in_one_line(text: str) -> list[DialplanAction]:
    """The actions of the dialplan ``inline``: ``m:^:set:a=b^hangup``, or with commas between."""
    separator = ","
    if text.startswith("m:") and text[3:4] == ":":
        text, separator = text[4:], text[2]
    pairs = (action.partition(":") for action in text.split(separator))
    return [DialplanAction(app.strip(), arg) for app, _, arg in pairs]
