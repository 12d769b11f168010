"""The ``bridge`` application (captures/bridge.jsonl).

The caller hears what is written to the far leg; what the caller says meanwhile is dropped.
"""

from __future__ import annotations

import asyncio

from esl_controller.simulator.freeswitch.channel import SimulatedChannel
from esl_controller.simulator.freeswitch.events import Headers
from esl_controller.simulator.freeswitch.originate import DialFailed, Dialled, dial, parse_variables
from esl_controller.simulator.freeswitch.session import SwitchSession
from esl_controller.simulator.freeswitch.text import is_true


async def bridge(session: SwitchSession, arg: str) -> None:
    """``bridge {vars}DIALSTRING``: until one of the two hangs up.

    A far leg that does not answer hangs the call up, unless ``continue_on_fail`` is set.
    """
    channel = session.channel
    channel.unicast.reset()
    target, variables = arg, {}
    if arg.startswith("{"):
        inside, _, target = arg[1:].partition("}")
        variables = parse_variables(inside)
    exported = channel.variables.get("export_vars", "").split(",")
    variables = {n: channel.variables[n] for n in exported if n in channel.variables} | variables
    try:
        far = await _dial(session, target, variables)
    except DialFailed as failure:
        channel.variables |= {
            "originate_disposition": failure.cause,
            "DIALSTATUS": failure.cause,
            "originate_failed_cause": failure.cause,
        }
        if not is_true(channel.variables.get("continue_on_fail", "")):
            channel.hangup(failure.cause)
        return
    if far is None:
        return
    channel.answer()
    await _bridged(session, far.near.channel, far.far)


async def _dial(session: SwitchSession, target: str, variables: dict[str, str]) -> Dialled | None:
    """Dial for as long as the caller waits; None if the caller hangs up."""
    gone = asyncio.Event()
    session.channel.on_hangup.append(gone.set)
    call = dial(session.switch, target, variables, session.channel.profile)
    tasks = asyncio.ensure_future(call), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        session.channel.on_hangup.remove(gone.set)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _bridged(session: SwitchSession, near: SimulatedChannel, far: SimulatedChannel) -> None:
    channel = session.channel
    ends = [("Bridge-A-Unique-ID", channel.uuid), ("Bridge-B-Unique-ID", near.uuid)]
    channel.profile.callee_name = near.profile.callee_name
    channel.profile.callee_number = near.profile.callee_number
    channel.profile.bridged = near.profile.answered
    channel.other_leg = [("Other-Type", "originatee"), *_other_leg(near)]
    channel.variables |= {
        "originated_legs": f"{near.uuid};Outbound Call;{near.profile.context}",
        "originate_disposition": "SUCCESS",
        "DIALSTATUS": "SUCCESS",
        "originate_causes": f"{near.uuid};NONE",
        "signal_bond": near.uuid,
    }
    channel.fire("CHANNEL_BRIDGE", ends)
    unwatch = far.heard.watch(lambda _, frame: channel.heard.add(frame))
    near.on_hangup.append(session.wake)
    try:
        while session.ready and near.ready:
            await session.parse_all_events()
            await session.next_tick()
    finally:
        unwatch()
        near.hangup()
        near.finish()
        session.switch.forget(near.uuid)
    channel.variables |= {
        "last_bridge_to": near.uuid,
        "bridge_channel": near.profile.channel_name,
        "bridge_uuid": near.uuid,
        "last_sent_callee_id_name": "Outbound Call",
        "last_sent_callee_id_number": near.profile.context,
        "last_bridge_hangup_cause": near.cause,
        "bridge_hangup_cause": near.cause,
    }
    channel.fire("CHANNEL_UNBRIDGE", ends)
    if is_true(channel.variables.get("hangup_after_bridge", "")):
        channel.hangup(near.cause)


def _other_leg(near: SimulatedChannel) -> Headers:
    rows = near.profile.headers("Other-Leg", direction="outbound")
    return [(name, value) for name, value in rows if name != "Other-Leg-Profile-Index"]
