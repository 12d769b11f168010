"""``originate``: a call that the switch makes (mod_commands.c; captures/inbound.jsonl)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from esl_controller.simulator.freeswitch import loopback
from esl_controller.simulator.freeswitch.channel import SimulatedChannel
from esl_controller.simulator.freeswitch.dialplan import DialplanAction
from esl_controller.simulator.freeswitch.events import Profile
from esl_controller.simulator.freeswitch.session import Switch, SwitchSession

USAGE = (
    "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] "
    "[<cid_name>] [<cid_num>] [<timeout_sec>]\n"
)
ANSWER_SECONDS = 60.0
"""How long the far end may ring, unless ``originate_timeout`` is set."""

_ORIGINATE = re.compile(r"(?:\{(?P<vars>[^}]*)\})?(?P<dial>\S+)\s+(?P<then>&\w+(?:\(.*\))?|\S+)")
_VARIABLE = re.compile(r"([^=,\s]+)=('[^']*'|[^,]*)")
_APPLICATION = re.compile(r"&(\w+)(?:\((.*)\))?")
_LOOPBACK = re.compile(r"loopback/([^/]+)(?:/([^/]+)(?:/XML)?)?")
_NULL = re.compile(r"null/(.+)")


class DialFailed(Exception):
    """The far end did not answer; ``cause`` says why."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Dialled:
    """A loopback call whose far end has answered."""

    near: SwitchSession
    """The calling leg; it is known by its uuid, and does nothing until it is run."""
    far: SimulatedChannel


def parse_variables(text: str) -> dict[str, str]:
    """``name=value,name='a, b'`` as in the braces of a dial string."""
    return {name: value.strip("'") for name, value in _VARIABLE.findall(text)}


async def dial(
    switch: Switch, target: str, variables: dict[str, str], parent: Profile | None = None
) -> Dialled:
    """Call ``target`` and wait for the answer.

    Only ``loopback/NUMBER/CONTEXT`` is ever reached; anything else fails as ``endpoints`` of the
    switch says, by default with SUBSCRIBER_ABSENT. Raises :class:`DialFailed`.
    """
    match = _LOOPBACK.fullmatch(target)
    if match is None:
        raise DialFailed(switch.endpoints.get(target, "SUBSCRIBER_ABSENT"))
    near, far = loopback.legs(switch, match[1], match[2] or "default", variables, parent)
    session = SwitchSession(switch, near)
    switch.sessions[near.uuid] = session
    near.fire("CHANNEL_CREATE")
    near.fire("CHANNEL_ORIGINATE")
    switch.start(far)
    seconds = float(variables.get("originate_timeout", "") or ANSWER_SECONDS)
    try:
        await _answered(near, far, seconds)
    except BaseException:
        near.hangup("ORIGINATOR_CANCEL")
        raise
    finally:
        if near.cause:
            near.finish()
            switch.forget(near.uuid)
    if near.cause:
        raise DialFailed(near.cause)
    near.answer()
    return Dialled(session, far)


async def _answered(near: SimulatedChannel, far: SimulatedChannel, seconds: float) -> None:
    """Wait until the far end answers or it is over."""
    settled = asyncio.Event()
    near.on_hangup.append(settled.set)
    far.on_answer.append(settled.set)
    if near.cause or far.answered.is_set():
        return
    try:
        async with asyncio.timeout(seconds):
            await settled.wait()
    except TimeoutError:
        near.hangup("NO_ANSWER")


def _argument(text: str) -> str:
    """What the application gets: up to the first space, unless it is quoted (seen on 1.10.12)."""
    return text.strip("'") if text.startswith("'") else text.partition(" ")[0]


def _alone(switch: Switch, name: str, variables: dict[str, str]) -> SwitchSession:
    """A call to ``null/NAME``: it is answered at once, by nobody."""
    session = SwitchSession(switch, loopback.null(switch, name, variables))
    switch.sessions[session.channel.uuid] = session
    session.channel.fire("CHANNEL_CREATE")
    session.channel.fire("CHANNEL_ORIGINATE")
    session.channel.answer()
    return session


async def originate(switch: Switch, arg: str) -> str:
    """The API command: replies once the far end has answered or failed."""
    match = _ORIGINATE.fullmatch(arg)
    if match is None:
        return USAGE
    variables = parse_variables(match["vars"] or "")
    try:
        if (nobody := _NULL.fullmatch(match["dial"])) is not None:
            near = _alone(switch, nobody[1], variables)
        else:
            near = (await dial(switch, match["dial"], variables)).near
    except DialFailed as failure:
        return f"-ERR {failure.cause}\n"
    except ValueError:
        return "-ERR INCOMPATIBLE_DESTINATION\n"
    at_answer, _, argument = variables.get("execute_on_answer", "").partition(":")
    if at_answer:
        await near.execute(at_answer, argument)
    number = near.channel.profile.number
    application = _APPLICATION.fullmatch(match["then"])
    if application:
        then = (DialplanAction(application[1], _argument(application[2] or "")),)
        switch.spawn(near.run({number: then}))
    else:
        near.channel.profile.number = match["then"]
        switch.spawn(near.run(switch.extensions))
    return f"+OK {near.channel.uuid}\n"
