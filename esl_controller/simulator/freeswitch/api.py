"""API commands (mod_commands.c, and mod_audio_stream's own).

Answers follow captures/conversation.jsonl, captures/playback_break.jsonl,
captures/stream_bad_arguments.jsonl and captures/inbound.jsonl, and where those have none, the
source of 1.10.12.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias, cast

from esl_controller.simulator.freeswitch import inspection
from esl_controller.simulator.freeswitch.events import VERSION
from esl_controller.simulator.freeswitch.memcache import memcache
from esl_controller.simulator.freeswitch.originate import originate
from esl_controller.simulator.freeswitch.session import Switch, SwitchSession
from esl_controller.simulator.freeswitch.stream import AudioStream, StreamMix, StreamRequest
from esl_controller.simulator.freeswitch.wire import SocketCommand

Api: TypeAlias = Callable[[Switch, str], str]
SlowApi: TypeAlias = Callable[[Switch, str], Awaitable[str]]

_NO_CHANNEL = "-ERR No such channel!\n"
_OK = "+OK\n"
_FAILED = "-ERR Operation Failed\n"
_SUCCESS = "+OK Success\n"
_STREAM_USAGE = (
    "-USAGE: <uuid> [start | stop | send_text | pause | resume | graceful-shutdown ] "
    "[wss-url | path] [mono | mixed | stereo] [8000 | 16000] [metadata]\n"
)
_WORDS = re.compile(r"'([^']*)'|(\S+)")
_ESCAPED = re.compile(r"\\(['\\])|'([^']*)'")
_URL = re.compile(r"wss?://[A-Za-z0-9.-]+(:\d*)?(/.*)?")


def _create_uuid(_: Switch, __: str) -> str:
    return str(uuid.uuid4())


def _uuid_exists(switch: Switch, arg: str) -> str:
    return "true" if arg in switch.sessions else "false"


def _uuid_setvar(switch: Switch, arg: str) -> str:
    words = arg.split(" ", 2)
    if len(words) < 2:
        return "-USAGE: <uuid> <var> [value]\n"
    session = switch.sessions.get(words[0])
    if session is None:
        return _NO_CHANNEL
    if len(words) == 3 and words[2]:
        session.channel.variables[words[1]] = _ESCAPED.sub(r"\1\2", words[2])
    else:
        session.channel.variables.pop(words[1], None)
    return _OK


def _uuid_getvar(switch: Switch, arg: str) -> str:
    ident, _, name = arg.partition(" ")
    if not name:
        return "-USAGE: <uuid> <var>\n"
    session = switch.sessions.get(ident)
    if session is None:
        return _NO_CHANNEL
    return session.channel.variables.get(name, "_undef_")


def _uuid_break(switch: Switch, arg: str) -> str:
    if not arg:
        return "-USAGE: <uuid> [all]\n"
    ident, _, how = arg.partition(" ")
    session = switch.sessions.get(ident)
    if session is None:
        return _NO_CHANNEL
    session.break_(flush=how == "all")
    return _OK


def _uuid_broadcast(switch: Switch, arg: str) -> str:
    words = arg.split()
    if len(words) < 2:
        return "-USAGE: <uuid> <path> [aleg|bleg|holdb|both]\n"
    session = switch.sessions.get(words[0])
    if session is None:
        return "-ERR invalid uuid\n"
    app, separator, path = words[1].partition("::")
    if not separator:
        app, path = "playback", words[1]
    headers = (
        ("call-command", "execute"),
        ("execute-app-name", app),
        ("execute-app-arg", path),
        ("event-lock", "true"),
        ("lead-frames", "5"),
    )
    leg = words[2] if len(words) > 2 else "aleg"
    if "aleg" in leg or "both" in leg:
        session.queue(SocketCommand("sendmsg", headers))
    return "+OK Message sent\n"


def _uuid_transfer(switch: Switch, arg: str) -> str:
    words = [quoted or word for quoted, word in _WORDS.findall(arg)]
    words = [word for word in words if word not in ("-bleg", "-both")]
    if not 2 <= len(words) <= 4:
        return "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n"
    session = switch.sessions.get(words[0])
    if session is None:
        return _NO_CHANNEL
    dialplan, context = (*words[2:], "", "")[:2]
    session.transfer(words[1], dialplan, context)
    return _OK


def _uuid_record(switch: Switch, arg: str) -> str:
    words = [quoted or word for quoted, word in _WORDS.findall(arg)]
    if len(words) < 3:
        return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
    ident, action, path = words[:3]
    session = switch.sessions.get(ident)
    if session is None:
        return "-ERR Cannot locate session!\n"
    if action == "start":
        started = switch.record(session.channel, path)
        return _SUCCESS if started else "-ERR Cannot record session!\n"
    if action == "stop":
        paths = tuple(session.channel.recordings) if path == "all" else (path,)
        stopped = [session.channel.stop_recording(each) for each in paths]
        return _SUCCESS if all(stopped) and stopped else "-ERR Cannot stop record session!\n"
    if action in ("mask", "unmask"):
        known = path in session.channel.recordings
        return _SUCCESS if known else f"-ERR Cannot {action} recording session!\n"
    return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"


def _uuid_kill(switch: Switch, arg: str) -> str:
    if not arg:
        return "-USAGE: <uuid> [cause]\n"
    ident, _, cause = arg.partition(" ")
    session = switch.sessions.get(ident)
    if session is None:
        return _NO_CHANNEL
    session.channel.hangup(cause or "NORMAL_CLEARING")
    return _OK


def _sched_hangup(switch: Switch, arg: str) -> str:
    words = arg.split()
    if not words:
        return "-USAGE: [+]<time> <uuid> [<cause>]\n"
    session = switch.sessions.get(words[1]) if len(words) > 1 else None
    if session is None:
        return _NO_CHANNEL
    cause = words[2] if len(words) > 2 else "ALLOTTED_TIMEOUT"
    seconds = int(words[0].removeprefix("+") or 0)  # the other form, a point in time, is not used
    _schedule(switch, seconds, words[1], partial(session.channel.hangup, cause))
    return "+OK\n"


def _sched_api(switch: Switch, arg: str) -> str:
    when, group, command = (*arg.split(" ", 2), "", "")[:3]
    if not command:
        return "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n"
    name, _, rest = command.removesuffix("&").partition(" ")
    _schedule(switch, int(when.removeprefix("+")), group, partial(switch.api_at_once, name, rest))
    return "+OK Added: 1\n"


def _schedule(switch: Switch, seconds: int, group: str, task: Callable[[], object]) -> None:
    timer = asyncio.get_running_loop().call_later(seconds, task)
    switch.scheduled.setdefault(group, []).append(timer)


def _sched_del(switch: Switch, arg: str) -> str:
    timers = switch.scheduled.pop(arg, [])
    for timer in timers:
        timer.cancel()
    return f"+OK Deleted: {len(timers)}\n"


def _uuid_send_dtmf(switch: Switch, arg: str) -> str:
    ident, _, digits = arg.partition(" ")
    if not digits:
        return "-USAGE: <uuid> <dtmf_data>\n"
    if ident not in switch.sessions:
        return "-ERR Cannot locate session!\n"
    return f"+OK {ident} sent DTMF {digits}.\n"


def _uuid_answer(switch: Switch, arg: str) -> str:
    session = switch.sessions.get(arg)
    if session is None:
        return _NO_CHANNEL
    session.channel.answer()
    return _OK


def _uuid_dump(switch: Switch, arg: str) -> str:
    ident, _, form = arg.partition(" ")
    session = switch.sessions.get(ident)
    if session is None:
        return _NO_CHANNEL
    rows = switch.core.headers("CHANNEL_DATA") + session.channel.headers()
    rows += session.channel.variable_headers()
    if form == "json":
        return json.dumps(dict(rows))
    return "".join(f"{name}: {value}\n" for name, value in rows)


def _show(switch: Switch, arg: str) -> str:
    words = arg.split()
    what = words[0] if words else ""
    if what not in ("channels", "calls"):
        return "-USAGE: [channels|calls] [as xml|json]\n"
    rows = [
        {
            "uuid": session.channel.uuid,
            "direction": session.channel.direction,
            "name": session.channel.profile.channel_name,
            "state": session.channel.running_state,
            "cid_num": session.channel.profile.caller,
            "dest": session.channel.profile.number,
            "application": session.channel.variables.get("current_application", ""),
            "read_codec": session.channel.codec.name,
            "read_rate": str(session.channel.codec.rate),
            "callstate": session.channel.call_state,
            "call_uuid": session.channel.variables["call_uuid"],
        }
        for session in switch.sessions.values()
    ]
    if words[1:3] == ["as", "json"]:
        content = {"row_count": len(rows)} | ({"rows": rows} if rows else {})
        return json.dumps(content) + "\n"
    table = [",".join(rows[0])] if rows else []
    table += [",".join(row.values()) for row in rows]
    return "\n".join((*table, "", f"{len(rows)} total.")) + "\n"


def _status(switch: Switch, _: str) -> str:
    up = time.time() - switch.core.started
    days, hours, minutes = int(up // 86400), int(up // 3600 % 24), int(up // 60 % 60)
    live = len(switch.sessions)
    return (
        f"UP 0 years, {days} days, {hours} hours, {minutes} minutes, {int(up % 60)} seconds, "
        f"{int(up * 1e3 % 1e3)} milliseconds, {int(up * 1e6 % 1e3)} microseconds\n"
        f"FreeSWITCH (Version {VERSION} stand-in 64bit) is ready\n"
        f"{switch.core.sessions} session(s) since startup\n"
        f"{live} session(s) - peak {live}, last 5min {live} \n"
        "0 session(s) per Sec out of max 500, peak 0, last 5min 0 \n"
        "5000 session(s) max\n"
        "min idle cpu 0.00/100.00\n"
        "Current Stack Size/Max 240K/8192K\n"
    )


def _uuid_audio_stream(switch: Switch, arg: str) -> str:
    words = arg.split(" ", 5) if arg else []
    if len(words) < 2 or (words[1] == "start" and len(words) < 4):
        return _STREAM_USAGE
    ident, verb, *rest = words
    session = switch.sessions.get(ident)
    if session is None:
        return _FAILED
    if verb.lower() == "start":
        return _stream_start(switch, session, rest)
    stream = session.channel.stream
    if verb.lower() == "send_text" and not rest:
        return ""
    if stream is None:
        return _FAILED
    match verb.lower():
        case "stop":
            stream.stop(" ".join(rest[:1]))
        case "pause" | "resume":
            stream.pause(verb.lower() == "pause")
        case "send_text":
            stream.send_text(rest[0])
        case _:
            return _FAILED
    return _SUCCESS


def _stream_start(switch: Switch, session: SwitchSession, rest: list[str]) -> str:
    url, mix, rate_text, metadata = (*rest, "", "", "")[:4]
    if mix not in ("mono", "mixed", "stereo"):
        return ""
    rates = {"8k": 8000, "16k": 16000}
    rate = rates.get(rate_text, int(rate_text) if rate_text.isdigit() else 0)
    if not _URL.fullmatch(url) or rate not in rates.values():
        return _FAILED
    channel = session.channel
    build = switch.build_for(channel)
    if channel.stream is not None or build is None or not channel.ready:
        return _FAILED
    request = StreamRequest(url, cast(StreamMix, mix), rate, metadata)
    channel.pre_answer()
    channel.stream = AudioStream(channel, build, request)
    return _SUCCESS


SLOW_COMMANDS: Mapping[str, SlowApi] = {"memcache": memcache, "originate": originate}
"""Commands whose answer takes time; the connection waits for it."""

COMMANDS: Mapping[str, Api] = {
    "create_uuid": _create_uuid,
    "file_exists": inspection.file_exists,
    "global_getvar": inspection.global_getvar,
    "load": inspection.load,
    "module_exists": inspection.module_exists,
    "reloadxml": inspection.reloadxml,
    "sched_api": _sched_api,
    "sched_del": _sched_del,
    "sched_hangup": _sched_hangup,
    "show": _show,
    "status": _status,
    "strmicroepoch": inspection.strmicroepoch,
    "unload": inspection.unload,
    "uuid_answer": _uuid_answer,
    "uuid_audio_stream": _uuid_audio_stream,
    "uuid_break": _uuid_break,
    "uuid_broadcast": _uuid_broadcast,
    "uuid_dump": _uuid_dump,
    "uuid_exists": _uuid_exists,
    "uuid_getvar": _uuid_getvar,
    "uuid_kill": _uuid_kill,
    "uuid_record": _uuid_record,
    "uuid_send_dtmf": _uuid_send_dtmf,
    "uuid_setvar": _uuid_setvar,
    "uuid_transfer": _uuid_transfer,
    "version": inspection.version,
    "xml_locate": inspection.xml_locate,
}
"""Commands that answer at once."""
