"""FreeSWITCH's events as types of ours: the only place that reads their headers. [core]

``SwitchConnection.connect`` subscribes to ``myevents`` and to ``SUBSCRIPTION``, of the call's own
channel only. What decides about a call gets the types of ``call/events.py``. Events about the files
that are played for us never reach those decisions, so their types are defined here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from esl_controller.call.events import Answered, Dtmf, Held, HungUp, StreamFailed, Unheld
from esl_controller.freeswitch.channel import codec
from esl_controller.freeswitch.wire import CONTROL, header, text, word

DTMF_DIGITS = "0123456789*#ABCD"
STREAM_EVENTS = tuple(
    f"mod_audio_stream::{name}" for name in ("connect", "disconnect", "play", "json", "error")
)
SUBSCRIPTION = " ".join(
    ("event plain CHANNEL_HOLD CHANNEL_UNHOLD CODEC PRIVATE_COMMAND CUSTOM", *STREAM_EVENTS)
)
"""Subscribes to what ``myevents`` leaves out (``parse_command`` in mod_event_socket.c has the
list). CUSTOM comes last: what follows it is taken for subclasses."""


@dataclass(frozen=True)
class FilePlaying:
    """CHANNEL_EXECUTE of ``playback``: the caller hears the file from now on.

    ``id`` is the ``Event-UUID`` that the command had.
    """

    id: str


@dataclass(frozen=True)
class FilePlayed:
    """CHANNEL_EXECUTE_COMPLETE of ``playback``; ``ok`` is False if there is no such file."""

    id: str
    ok: bool


@dataclass(frozen=True)
class FileWritten:
    """``mod_audio_stream::play``: what we sent as streamAudio is now the file ``path`` there."""

    path: str


@dataclass(frozen=True)
class Running:
    """CHANNEL_EXECUTE of any other application, with its data."""

    application: str
    data: str = ""


@dataclass(frozen=True)
class Bridged:
    """CHANNEL_BRIDGE: the caller hears ``leg``, a channel's UUID (captures/bridge.jsonl)."""

    leg: str


@dataclass(frozen=True)
class LaneCommanded:
    """PRIVATE_COMMAND of ``unicast``: the channel has carried it out, and has bound the lane's
    ``port`` by now or never will (captures/codec_change.1.jsonl)."""

    port: int


@dataclass(frozen=True)
class CodecSet:
    """CODEC: the caller's codec and its ``rate`` in Hz, as they are now. It also comes where only
    the packet time has changed."""

    codec: str
    rate: int


FileEvent: TypeAlias = FilePlaying | FilePlayed | FileWritten
SwitchEvent: TypeAlias = (
    Answered
    | Dtmf
    | HungUp
    | Held
    | Unheld
    | CodecSet
    | StreamFailed
    | FileEvent
    | Running
    | Bridged
)


def parse(event: Mapping[str, Any], body: str | None = None) -> SwitchEvent | LaneCommanded | None:
    """What an event with these headers and this body means; None for one that we do not use.

    Raises ValueError, TypeError or KeyError if mod_audio_stream sent something that cannot be read.
    """
    match header(event, "Event-Name"):
        case "CHANNEL_ANSWER":
            return Answered(*codec(event))
        case "CHANNEL_HANGUP" | "CHANNEL_HANGUP_COMPLETE":
            cause = header(event, "Hangup-Cause") or "UNKNOWN"
            return HungUp(cause, *_unreached(event, cause))
        case "CHANNEL_EXECUTE":
            application = header(event, "Application")
            if application == "playback":
                return FilePlaying(header(event, "Application-UUID"))
            return Running(application, header(event, "Application-Data"))
        case "CHANNEL_EXECUTE_COMPLETE":
            found = header(event, "Application-Response") != "FILE NOT FOUND"
            return FilePlayed(header(event, "Application-UUID"), found)
        case "CHANNEL_BRIDGE":
            return Bridged(word("leg", header(event, "Other-Leg-Unique-ID")))
        case "CHANNEL_HOLD":
            return Held()
        case "CHANNEL_UNHOLD":
            return Unheld()
        case "CODEC":
            return CodecSet(*codec(event))
        case "PRIVATE_COMMAND" if header(event, "call-command") == "unicast":
            return LaneCommanded(int(header(event, "local-port")))
        case "DTMF":
            digit = header(event, "DTMF-Digit")
            return Dtmf(digit) if digit in DTMF_DIGITS and len(digit) == 1 else None
        case "CUSTOM":
            return _stream_event(header(event, "Event-Subclass"), body)
    return None


def _unreached(event: Mapping[str, Any], cause: str) -> tuple[str, str]:
    """Why nobody had the caller; and the same where something such as a mailbox had. Both are empty
    if somebody had.

    ``originate_disposition`` tells of the last bridge, SUCCESS if it was answered. If it was not,
    or if there was none, the cause tells what the dialplan came to: NO_ROUTE_DESTINATION if it has
    no extension, NORMAL_CLEARING if an application had the caller. A caller who gives up while it
    rings has that cause as well; then the bridge is still the channel's application
    (docs/design/freeswitch.md#who-was-reached).
    """
    disposition = header(event, "variable_originate_disposition")
    if disposition == "SUCCESS":
        return "", ""
    if cause != "NORMAL_CLEARING":
        return cause, ""
    ringing = header(event, "variable_current_application") == "bridge"
    return ((disposition or "ORIGINATOR_CANCEL"), "") if ringing else ("", disposition)


def _stream_event(subclass: str, body: str | None) -> StreamFailed | FileWritten | None:
    """``connect`` and ``disconnect`` mean nothing here: the WebSocket itself tells of them."""
    if subclass == "mod_audio_stream::error":
        reason = str(json.loads(body or "")["message"]["error"])
        return StreamFailed(CONTROL.sub(" ", reason).strip())
    if subclass == "mod_audio_stream::play":
        return FileWritten(text("file", json.loads(body or "")["file"]))
    return None
