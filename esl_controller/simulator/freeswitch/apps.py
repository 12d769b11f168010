"""Dialplan applications."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from esl_controller.simulator.freeswitch import outbound, sounds
from esl_controller.simulator.freeswitch.audio import FRAME_SECONDS, CallerVoice, FramedSound
from esl_controller.simulator.freeswitch.bridge import bridge
from esl_controller.simulator.freeswitch.dialplan import in_one_line
from esl_controller.simulator.freeswitch.session import Application, SwitchSession


async def _answer(session: SwitchSession, _: str) -> None:
    session.channel.answer()


async def _set(session: SwitchSession, arg: str) -> None:
    name, _, value = arg.partition("=")
    if value:
        session.channel.variables[name] = value
    else:
        session.channel.variables.pop(name, None)


async def _unset(session: SwitchSession, arg: str) -> None:
    session.channel.variables.pop(arg, None)


async def _hangup(session: SwitchSession, arg: str) -> None:
    session.channel.hangup(arg or "NORMAL_CLEARING")


async def _nothing(_: SwitchSession, __: str) -> None:
    return None


async def _sleep(session: SwitchSession, arg: str) -> None:
    ticks = int(arg) / 20 if arg.strip().isdigit() else 0
    until = asyncio.get_running_loop().time() + ticks * FRAME_SECONDS
    while session.ready and asyncio.get_running_loop().time() < until and not _broken(session):
        await session.next_tick()
        await session.parse_all_events()


async def _park(session: SwitchSession, _: str) -> None:
    await session.park()


async def _echo(session: SwitchSession, _: str) -> None:
    channel = session.channel
    channel.unicast.reset()
    while session.ready and not _broken(session):
        await session.next_tick()
        await session.parse_all_events()
        channel.heard.add(channel.voice.frame(channel.codec.rate))


def _broken(session: SwitchSession) -> bool:
    broken, session.broken = session.broken, False
    return broken


async def _playback(session: SwitchSession, arg: str) -> None:
    """Play a sound in real time (captures/playback_break.jsonl,
    captures/transfer_reset.2.jsonl)."""
    channel = session.channel
    channel.unicast.reset()
    session.broken = False
    channel.pre_answer()
    try:
        sound = sounds.load(arg)
    except sounds.NotFound:
        channel.variables["current_application_response"] = "FILE NOT FOUND"
        return
    path = ("Playback-File-Path", arg)
    channel.fire("PLAYBACK_START", [path])
    played = 0
    loops = sound.loops
    broken = False
    while loops and session.ready and not broken:
        loops -= 1
        framed = FramedSound(sound.pcm, sound.rate)
        broken = await _play(session, framed)
        played += framed.played
        if not framed.frames:
            await session.next_tick()
    samples = len(sound.pcm) * (sound.loops if sound.loops > 0 else 1)
    channel.variables |= {
        "playback_last_offset_pos": str(round(played * FRAME_SECONDS * channel.codec.rate)),
        "playback_seconds": str(samples // sound.rate),
        "playback_ms": str(samples * 1000 // sound.rate),
        "playback_samples": str(samples),
        "current_application_response": "PLAYBACK ERROR" if session.reset else "FILE PLAYED",
    }
    channel.fire("PLAYBACK_STOP", [path, ("Playback-Status", "break" if broken else "done")])


async def _play(session: SwitchSession, framed: FramedSound) -> bool:
    """Write a sound frame by frame; whether it was broken off."""
    channel = session.channel
    if channel.peer is not None:
        return await _say(session, channel.peer.voice, framed)
    terminators = channel.variables.get("playback_terminators", "*")
    framed.prepare(channel.codec.rate)
    while framed.played < framed.frames and session.ready:
        if _broken(session):
            return True
        await session.parse_all_events()
        digit = session.take_dtmf()
        if digit and digit in terminators:
            channel.variables["playback_terminator_used"] = digit
            return True
        await session.next_tick()
        if not session.ready:
            return True
        if not session.broken:
            channel.heard.add(framed.frame(channel.codec.rate, framed.played))
            framed.played += 1
    return False


async def _say(session: SwitchSession, voice: CallerVoice, framed: FramedSound) -> bool:
    """Play on the calling leg of a loopback: the other leg's caller says it."""
    voice.queue(framed)
    while not framed.finished.is_set() and session.ready:
        await session.parse_all_events()
        await session.next_tick()
        if _broken(session):
            framed.stop()
            return True
    framed.stop()
    return False


async def _endless_playback(session: SwitchSession, arg: str) -> None:
    while session.ready and not session.broken:
        await _playback(session, arg)
        if session.channel.variables["current_application_response"] != "FILE PLAYED":
            return


async def _record(session: SwitchSession, arg: str) -> None:
    """``record FILE [SECONDS]``: until the time, a break or the end of the call."""
    session.channel.unicast.reset()
    path, _, rest = arg.partition(" ")
    seconds = int(rest.split()[0]) if rest and rest.split()[0].isdigit() else 3600
    if not session.switch.record(session.channel, path):
        return
    await _sleep(session, str(seconds * 1000))
    session.channel.stop_recording(path)


async def _pre_answer(session: SwitchSession, _: str) -> None:
    session.channel.pre_answer()


async def _transfer(session: SwitchSession, arg: str) -> None:
    number, dialplan, context = (*arg.split(), "", "", "")[:3]
    if number:
        session.transfer(number, dialplan, context)


async def _execute_extension(session: SwitchSession, arg: str) -> None:
    """``execute_extension LINE inline``: as a subroutine, one action after the other
    (``switch_core_session_execute_exten``, switch_core_session.c). Of the dialplans, this one."""
    line, _, dialplan = arg.partition(" ")
    if dialplan != "inline":
        return
    for action in in_one_line(line.replace(r"\s", " ")):
        await session.execute(action.app, action.arg)
        if not session.ready:
            return


async def _multiset(session: SwitchSession, arg: str) -> None:
    for pair in arg.split():
        await _set(session, pair)


async def _record_session(session: SwitchSession, arg: str) -> None:
    session.switch.record(session.channel, arg.split()[0] if arg else "")


async def _sched_hangup(session: SwitchSession, arg: str) -> None:
    when, _, cause = arg.partition(" ")
    await session.switch.api("sched_hangup", f"{when} {session.channel.uuid} {cause}".strip())


APPLICATIONS: Mapping[str, Application] = {
    "answer": _answer,
    "bridge": bridge,
    "echo": _echo,
    "endless_playback": _endless_playback,
    "execute_extension": _execute_extension,
    "export": _set,
    "hangup": _hangup,
    "info": _nothing,
    "log": _nothing,
    "multiset": _multiset,
    "park": _park,
    "playback": _playback,
    "pre_answer": _pre_answer,
    "record": _record,
    "record_session": _record_session,
    "ring_ready": _nothing,
    "sched_hangup": _sched_hangup,
    "set": _set,
    "sleep": _sleep,
    "socket": outbound.socket,
    "start_dtmf": _nothing,
    "stop_dtmf": _nothing,
    "transfer": _transfer,
    "unset": _unset,
    "verbose_events": _nothing,
}
"""Applications by name; a channel that executes another is hung up
(captures/invalid_application.jsonl)."""
