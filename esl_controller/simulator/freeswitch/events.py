"""Event headers: what FreeSWITCH says about itself, a channel and its caller in every event.

Names, order and values are those of captures/conversation.jsonl (a SIP call),
captures/conversation_loopback.jsonl and captures/transfer.jsonl.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal

from esl_controller.simulator.freeswitch.wire import SwitchEvent

Headers = list[tuple[str, str]]

VERSION = "1.10.12-release"

SOURCES: Mapping[str, tuple[str, str, int]] = {
    "CHANNEL_DATA": ("mod_event_socket.c", "parse_command", 2021),
    "CHANNEL_PARK": ("switch_ivr.c", "switch_ivr_park", 1002),
    "CHANNEL_UNPARK": ("switch_ivr.c", "switch_ivr_park", 1213),
    "CHANNEL_EXECUTE": ("switch_core_session.c", "switch_core_session_exec", 2944),
    "CHANNEL_EXECUTE_COMPLETE": ("switch_core_session.c", "switch_core_session_exec", 2967),
    "CHANNEL_ANSWER": ("switch_channel.c", "switch_channel_perform_mark_answered", 3846),
    "CHANNEL_HANGUP": ("switch_channel.c", "switch_channel_perform_hangup", 3445),
    "CHANNEL_STATE": ("switch_channel.c", "switch_channel_perform_set_running_state", 2408),
    "CHANNEL_CALLSTATE": ("switch_channel.c", "switch_channel_perform_set_callstate", 301),
    "CHANNEL_HANGUP_COMPLETE": (
        "switch_core_state_machine.c",
        "switch_core_session_reporting_state",
        943,
    ),
    "CHANNEL_BRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", 1689),
    "CHANNEL_UNBRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", 1879),
    "CUSTOM": ("mod_audio_stream.c", "responseHandler", 16),
    "CHANNEL_HOLD": ("switch_channel.c", "switch_channel_mark_hold", 875),
    "CHANNEL_UNHOLD": ("switch_channel.c", "switch_channel_mark_hold", 875),
    "CODEC": ("switch_core_codec.c", "switch_core_session_set_write_codec", 558),
    "DTMF": ("switch_channel.c", "switch_channel_dequeue_dtmf", 677),
    "PLAYBACK_START": ("switch_ivr_play_say.c", "switch_ivr_play_file", 1658),
    "PLAYBACK_STOP": ("switch_ivr_play_say.c", "switch_ivr_play_file", 2038),
    "RECORD_START": ("switch_ivr_async.c", "record_callback", 1387),
    "RECORD_STOP": ("switch_ivr_async.c", "send_record_stop_event", 1290),
    "BACKGROUND_JOB": ("mod_event_socket.c", "api_exec", 1586),
}
"""Where each event is fired (``Event-Calling-*``); the lines of 1.10.12."""

WITHOUT_VARIABLES = frozenset(
    {"CHANNEL_STATE", "CHANNEL_CALLSTATE", "CODEC", "DTMF", "PRIVATE_COMMAND"}
)
"""Channel events that carry no ``variable_*`` (switch_channel_event_set_extended_data)."""


@dataclass(slots=True)
class Core:
    """One FreeSWITCH: its identity, and the sequence of its events."""

    core_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    hostname: str = "pbx"
    started: float = field(default_factory=time.time)
    sequence: int = 0
    sessions: int = 0
    listeners: list[Callable[[SwitchEvent], None]] = field(default_factory=list)

    def headers(self, name: str) -> Headers:
        """The headers that open every event."""
        self.sequence += 1
        now = time.time()
        file, function, line = SOURCES.get(name, ("switch_event.c", "switch_event_fire", 1))
        return [
            ("Event-Name", name),
            ("Core-UUID", self.core_uuid),
            ("FreeSWITCH-Hostname", self.hostname),
            ("FreeSWITCH-Switchname", self.hostname),
            ("FreeSWITCH-IPv4", "127.0.0.1"),
            ("FreeSWITCH-IPv6", "::1"),
            ("Event-Date-Local", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))),
            ("Event-Date-GMT", formatdate(now, usegmt=True)),
            ("Event-Date-Timestamp", str(int(now * 1e6))),
            ("Event-Calling-File", file),
            ("Event-Calling-Function", function),
            ("Event-Calling-Line-Number", str(line)),
            ("Event-Sequence", str(self.sequence)),
        ]

    def fire(self, event: SwitchEvent) -> None:
        """Hand an event to every listener; each decides whether it wants it."""
        for listener in tuple(self.listeners):
            listener(event)


@dataclass(slots=True)
class Profile:
    """Who calls whom; FreeSWITCH's caller profile. Times in microseconds since the epoch."""

    uuid: str
    number: str
    caller: str
    channel_name: str
    source: str
    dialplan: str = "XML"
    context: str = "default"
    caller_name: str = ""
    username: str = ""
    network: str = ""
    callee_name: str = ""
    callee_number: str = ""
    index: int = 1
    created: int = field(default_factory=lambda: int(time.time() * 1e6))
    profile_created: int = 0
    answered: int = 0
    hangup: int = 0
    bridged: int = 0
    held: int = 0
    rdnis: str = ""
    transfer_source: str = ""

    def headers(self, prefix: str, *, direction: str = "inbound") -> Headers:
        """The profile as headers ``<prefix>-...`` (``Caller``, ``Channel``, ``Other-Leg``)."""
        rows: list[tuple[str, str | None]] = [
            ("Direction", direction),
            ("Logical-Direction", "inbound"),
            ("Username", self.username or None),
            ("Dialplan", self.dialplan),
            ("Caller-ID-Name", self.caller_name or None),
            ("Caller-ID-Number", self.caller),
            ("Orig-Caller-ID-Name", self.caller_name or None),
            ("Orig-Caller-ID-Number", self.caller),
            ("Callee-ID-Name", self.callee_name or None),
            ("Callee-ID-Number", self.callee_number or None),
            ("Network-Addr", self.network or None),
            ("ANI", self.caller),
            ("Destination-Number", self.number),
            ("Unique-ID", self.uuid),
            ("Source", self.source),
            ("Transfer-Source", self.transfer_source or None),
            ("Context", self.context),
            ("RDNIS", self.rdnis or None),
            ("Channel-Name", self.channel_name),
            ("Profile-Index", str(self.index)),
            ("Profile-Created-Time", str(self.profile_created or self.created)),
            ("Channel-Created-Time", str(self.created)),
            ("Channel-Answered-Time", str(self.answered)),
            ("Channel-Progress-Time", "0"),
            ("Channel-Progress-Media-Time", "0"),
            ("Channel-Hangup-Time", str(self.hangup)),
            ("Channel-Transfer-Time", "0"),
            ("Channel-Resurrect-Time", "0"),
            ("Channel-Bridged-Time", str(self.bridged)),
            ("Channel-Last-Hold", str(self.held)),
            ("Channel-Hold-Accum", "0"),
            ("Screen-Bit", "true"),
            ("Privacy-Hide-Name", "false"),
            ("Privacy-Hide-Number", "false"),
        ]
        return [(f"{prefix}-{name}", value) for name, value in rows if value is not None]


CodecName = Literal["PCMU", "PCMA", "L16", "opus"]


@dataclass(frozen=True, slots=True)
class Codec:
    """A channel's codec: name, sample rate in Hz, bit rate, packet time in ms."""

    name: str
    rate: int
    bit_rate: int
    packet_ms: int = 20

    @property
    def packet_bytes(self) -> int:
        """Bytes of one packet as 16-bit mono samples: the size of the lane's datagrams."""
        return self.rate * self.packet_ms // 1000 * 2


def codec_of(name: str, rate: int | None = None, packet_ms: int = 20) -> Codec:
    """The codec of that name, at its own rate unless told (Hz).

    Raises ValueError for a codec or rate that the stand-in does not carry.
    """
    own = {"PCMU": 8000, "PCMA": 8000, "L16": 16000, "opus": 48000}
    if name not in own:
        raise ValueError(f"unknown codec {name!r}: expected one of {', '.join(own)}")
    rate = rate or own[name]
    if rate not in (8000, 16000, 24000, 32000, 48000):
        raise ValueError(f"unsupported rate {rate} Hz for {name}")
    bit_rate = {"PCMU": 64000, "PCMA": 64000, "opus": 0}.get(name, rate * 16)
    return Codec(name, rate, bit_rate, packet_ms)


def call_times(profile: Profile) -> dict[str, str]:
    """The variables that a finished call has: stamps, epochs, durations."""
    created, answered = profile.created, profile.answered
    ended = profile.hangup or int(time.time() * 1e6)
    total, billed = ended - created, ended - answered if answered else 0
    waited = answered - created if answered else 0
    values: dict[str, str] = {
        "start_stamp": _stamp(created),
        "profile_start_stamp": _stamp(created),
    }
    if answered:
        values["answer_stamp"] = _stamp(answered)
    if profile.bridged:
        values["bridge_stamp"] = _stamp(profile.bridged)
    values["end_stamp"] = _stamp(ended)
    for name, micros in (("start", created), ("profile_start", created), ("answer", answered)):
        values |= {f"{name}_epoch": str(micros // 1_000_000), f"{name}_uepoch": str(micros)}
    for name, micros in (("bridge", profile.bridged), ("last_hold", 0)):
        values |= {f"{name}_epoch": str(micros // 1_000_000), f"{name}_uepoch": str(micros)}
    values |= {"hold_accum_seconds": "0", "hold_accum_usec": "0", "hold_accum_ms": "0"}
    for name in ("resurrect", "progress", "progress_media"):
        values |= {f"{name}_epoch": "0", f"{name}_uepoch": "0"}
    values |= {"end_epoch": str(ended // 1_000_000), "end_uepoch": str(ended)}
    spans = {"": total, "bill": billed, "progress": 0, "answer": waited, "wait": 0}
    spans |= {"progress_media": 0, "flow_bill": total}
    for unit, divisor in (("sec", 1_000_000), ("msec", 1000), ("usec", 1)):
        for name, micros in spans.items():
            key = f"{name}{unit}" if name else {"sec": "duration"}.get(unit, f"{unit[0]}duration")
            values[key] = str(micros // divisor)
    return values


def _stamp(micros: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(micros / 1e6))
