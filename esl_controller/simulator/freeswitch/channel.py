"""A channel: its state, its variables, its audio, and the events that report them.

Nothing here waits. What a channel *does* is in :mod:`session`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np

from esl_controller.simulator.freeswitch import sip
from esl_controller.simulator.freeswitch.audio import CallerVoice, HeardFrames, resample
from esl_controller.simulator.freeswitch.causes import CAUSES, cause_of
from esl_controller.simulator.freeswitch.events import (
    WITHOUT_VARIABLES,
    Codec,
    Core,
    Headers,
    Profile,
    call_times,
)
from esl_controller.simulator.freeswitch.faults import CallStep, Faults
from esl_controller.simulator.freeswitch.recording import LegRecording
from esl_controller.simulator.freeswitch.stream import AudioStream
from esl_controller.simulator.freeswitch.tap import Tap
from esl_controller.simulator.freeswitch.unicast import Unicast
from esl_controller.simulator.freeswitch.wire import SwitchEvent

MAX_DTMF = 64
"""Digits that wait to be taken; more are lost."""

_ACK_SECONDS = 0.03
"""How long after our answer the caller's ACK comes."""

_CODEC_SECONDS = 0.04
"""From the reset of the session for another codec to its event."""

_STATES = {
    "CS_NEW": 0,
    "CS_INIT": 1,
    "CS_ROUTING": 2,
    "CS_EXECUTE": 4,
    "CS_PARK": 6,
    "CS_RESET": 9,
    "CS_HANGUP": 10,
    "CS_REPORTING": 11,
    "CS_DESTROY": 12,
}


class SimulatedChannel:
    """One leg of a call."""

    def __init__(
        self,
        core: Core,
        profile: Profile,
        codec: Codec,
        *,
        variables: dict[str, str],
        faults: Faults,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        direction: str = "inbound",
    ) -> None:
        self.core = core
        self.profile = profile
        self.codec = codec
        self.faults = faults
        self.spawn = spawn
        self.direction = direction
        core.sessions += 1
        self.variables = {
            "direction": direction,
            "uuid": profile.uuid,
            "session_id": str(core.sessions),
            "channel_name": profile.channel_name,
            "read_codec": codec.name,
            "read_rate": str(codec.rate),
            "write_codec": codec.name,
            "write_rate": str(codec.rate),
            "call_uuid": profile.uuid,
            **variables,
        }
        self.late_negotiation = False
        """Whether events name the codec only from the answer on (inbound-late-negotiation)."""
        self.voice = CallerVoice()
        self.heard = HeardFrames(codec.rate, time.monotonic)
        self.unicast = Unicast(self._play, faults.lane_bind_failures)
        self.stream: AudioStream | None = None
        self.recordings: dict[str, LegRecording] = {}
        self.dtmf: deque[str] = deque(maxlen=MAX_DTMF)
        self.held = False
        """The caller has put the call on hold: what is written to the channel reaches nobody."""
        self._lane_out = bytearray()
        self.digits_dialed = ""
        self.other_leg: Headers = []
        self.peer: SimulatedChannel | None = None
        """On the calling leg of a loopback, the other leg: its caller says what is written here."""
        self._peer_tap: Tap | None = None
        self.running_state = "CS_EXECUTE"
        self.state = "CS_EXECUTE"
        self.call_state = "RINGING"
        self._answer_state = "ringing"
        self.cause = ""
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.streaming = asyncio.Event()
        self.on_step: Callable[[CallStep], None] = lambda _: None
        self.on_answer: list[Callable[[], None]] = []
        self.on_hangup: list[Callable[[], None]] = []
        self._media_cut = faults.media_cut_after

    @property
    def uuid(self) -> str:
        """The Unique-ID."""
        return self.profile.uuid

    @property
    def ready(self) -> bool:
        """Whether the call has not been hung up."""
        return not self.cause

    # Events

    def headers(self) -> Headers:
        """What every event of this channel says, apart from the variables."""
        answer = "hangup" if self.cause else self._answer_state
        rows: Headers = [
            ("Channel-State", self.running_state),
            ("Channel-Call-State", self.call_state),
            ("Channel-State-Number", str(_STATES[self.state])),
            ("Channel-Name", self.profile.channel_name),
            ("Unique-ID", self.uuid),
            ("Call-Direction", self.direction),
            ("Presence-Call-Direction", self.direction),
            ("Channel-HIT-Dialplan", "true" if self.direction == "inbound" else "false"),
            ("Channel-Call-UUID", self.variables["call_uuid"]),
            ("Answer-State", answer),
        ]
        if self.cause:
            rows.append(("Hangup-Cause", self.cause))
        known = not (self.late_negotiation and self._answer_state == "ringing")
        for side in ("Read", "Write") if known else ():
            rows += [
                (f"Channel-{side}-Codec-Name", self.codec.name),
                (f"Channel-{side}-Codec-Rate", str(self.codec.rate)),
                (f"Channel-{side}-Codec-Bit-Rate", str(self.codec.bit_rate)),
            ]
        rows += self.profile.headers("Caller", direction=self.direction)
        return rows + self.other_leg

    def variable_headers(self) -> Headers:
        """The variables as headers."""
        return [(f"variable_{name}", value) for name, value in self.variables.items()]

    def fire(self, name: str, extra: Headers | None = None) -> None:
        """Fire a channel event; ``extra`` headers come last."""
        headers = self.core.headers(name)
        if name == "CHANNEL_HANGUP_COMPLETE":
            headers.append(("Hangup-Cause", self.cause))
        headers += self.headers()
        if name not in WITHOUT_VARIABLES:
            headers += self.variable_headers()
        self.core.fire(SwitchEvent(name, headers + (extra or [])))

    def fire_custom(self, subclass: str, body: str) -> None:
        """Fire a CUSTOM event with a body."""
        headers = [("Event-Subclass", subclass), *self.core.headers("CUSTOM")]
        headers += self.headers() + self.variable_headers()
        self.core.fire(SwitchEvent("CUSTOM", headers, body, subclass))

    # State

    @property
    def media_ready(self) -> bool:
        """Whether audio flows: answered, or early media."""
        return self._answer_state != "ringing"

    def pre_answer(self) -> None:
        """Start early media on a call that rings."""
        if self.media_ready or self.cause:
            return
        self._answer_state = "early"
        self._media_started()
        self.fire("CHANNEL_PROGRESS_MEDIA")
        self.set_call_state("EARLY")

    def answer(self) -> None:
        """Answer, once."""
        if self.answered.is_set() or self.cause:
            return
        self.profile.answered = int(time.time() * 1e6)
        self.heard.started = self.heard.clock()
        self._media_started()
        self._answer_state = "answered"
        self.answered.set()
        self.fire("CHANNEL_ANSWER")
        if self._sip:
            asyncio.get_running_loop().call_later(_ACK_SECONDS, self._acknowledged)
        self.set_call_state("ACTIVE")
        self.variables["endpoint_disposition"] = "ANSWER"
        self.on_step("answered")
        for callback in tuple(self.on_answer):
            callback()

    @property
    def _sip(self) -> bool:
        return self.profile.source == "mod_sofia"

    def _media_started(self) -> None:
        if self._sip:
            self.variables |= sip.media_started(self.codec)

    def _acknowledged(self) -> None:
        if self.ready:
            self.variables |= sip.acknowledged()

    def set_call_state(self, state: str) -> None:
        """Change the call state and fire its event."""
        original, self.call_state = self.call_state, state
        self.fire("CHANNEL_CALLSTATE", [("Original-Channel-Call-State", original)])

    def hold(self) -> None:
        """The caller's re-INVITE, ``inactive`` or ``sendonly``."""
        if not self.held:
            self.held = True
            self.profile.held = int(time.time() * 1e6)
            self.set_call_state("HELD")
            self.fire("CHANNEL_HOLD")

    def unhold(self) -> None:
        """The caller's re-INVITE ``sendrecv``; a transfer does the same."""
        if self.held:
            self.held = False
            self.profile.held = 0
            self.set_call_state("UNHELD")
            self.fire("CHANNEL_UNHOLD")
            self.set_call_state("ACTIVE")

    def change_codec(self, codec: Codec) -> None:
        """The caller's re-INVITE with another codec, or another packet time: the session is reset,
        which closes the lane, and the CODEC event comes later."""
        self.unicast.reset()
        self._lane_out.clear()
        self.codec = codec
        for side in ("read", "write"):
            self.variables[f"{side}_codec"] = codec.name
            self.variables[f"{side}_rate"] = str(codec.rate)
        if self._sip:
            self.variables |= sip.negotiated(codec)
        asyncio.get_running_loop().call_later(_CODEC_SECONDS, self._codec_changed)

    def _codec_changed(self) -> None:
        if self.ready:
            self.fire("CODEC")

    def set_state(self, state: str) -> None:
        """Enter a state and fire its event."""
        self.state = self.running_state = state
        self.fire("CHANNEL_STATE")

    def hangup(self, cause: str = "NORMAL_CLEARING", *, by_caller: bool = False) -> None:
        """Hang up, once; the first cause counts."""
        if self.cause:
            return
        self.cause = cause_of(cause)
        self.state = "CS_HANGUP"
        if by_caller and self._sip:
            self.variables |= sip.hung_up_by_caller()
        self.fire("CHANNEL_HANGUP")
        if by_caller and self._sip:
            self.variables["sip_hangup_disposition"] = "recv_bye"
        for callback in tuple(self.on_hangup):
            callback()

    def finish(self) -> None:
        """Run the states after a hangup, to the final report."""
        self.set_state("CS_HANGUP")
        self.profile.hangup = int(time.time() * 1e6)
        self.release_media()
        self.set_call_state("HANGUP")
        self.set_state("CS_REPORTING")
        self.variables["hangup_cause"] = self.cause
        self.variables["hangup_cause_q850"] = str(CAUSES.get(self.cause, 0))
        self.variables["digits_dialed"] = self.digits_dialed or "none"
        self.variables |= call_times(self.profile)
        self.variables["last_app"] = self.variables.get("current_application", "")
        if (arg := self.variables.get("current_application_data")) is not None:
            self.variables["last_arg"] = arg
        caller = self.profile.caller
        self.variables["caller_id"] = f'"{caller}" <{caller}>' if self._sip else caller
        if self._sip:
            self.variables.setdefault("sip_hangup_disposition", "send_bye")
            self.variables |= sip.finished()
        else:
            self.variables["is_loopback"] = "1"
        self.fire("CHANNEL_HANGUP_COMPLETE")
        self.ended.set()

    # Audio

    def tick(self) -> None:
        """20 ms of media: the caller's frame goes to the stream and the lane."""
        self.voice.advance()
        if not self.media_ready or self.cause:
            return
        if self.stream is not None:
            self.stream.tick()
        if (lane := self.unicast.carrying) is not None:
            self._lane_out += self._read()
            size = self.codec.packet_bytes
            while len(self._lane_out) >= size:
                lane.send(bytes(self._lane_out[:size]))
                del self._lane_out[:size]
        elif self._peer_tap is not None:
            self._close_peer_tap()
        for recording in self.recordings.values():
            recording.tick()

    def _read(self) -> bytes:
        """This tick's frame from the far end: the caller's voice, or what the other leg hears."""
        if self.peer is None:
            return self.voice.frame(self.codec.rate)
        if self._peer_tap is None:
            self._peer_tap = Tap(self.peer.heard)
        return self._peer_tap.frame()

    def _close_peer_tap(self) -> None:
        if self._peer_tap is not None:
            self._peer_tap.close()
            self._peer_tap = None

    def _play(self, frame: bytes) -> None:
        """A frame for the far end, now. One that is no whole packet is noise there, if anything."""
        if self.held or len(frame) != self.codec.packet_bytes:
            return
        if self.peer is None:
            pcm = np.frombuffer(frame, np.int16)
            self.heard.add(resample(pcm, self.codec.rate, self.heard.rate).tobytes())
        else:
            self.peer.voice.say(frame, self.codec.rate)

    def release_media(self) -> None:
        """Close the lane, the stream and the recordings."""
        self.unicast.reset()
        self._close_peer_tap()
        if self.stream is not None:
            self.stream.stop()
        for path in tuple(self.recordings):
            self.stop_recording(path)
        self.voice.clear()

    def stop_recording(self, path: str) -> bool:
        """Write a recording to its file; whether there was one."""
        recording = self.recordings.pop(path, None)
        if recording is None:
            return False
        recording.close()
        self.fire("RECORD_STOP", [("Record-File-Path", path)])
        return True

    def stream_connected(self) -> None:
        """The media WebSocket is open."""
        self.streaming.set()
        self.on_step("streaming")

    def stream_released(self, stream: AudioStream) -> None:
        """The module let go of the channel: another start is possible."""
        if self.stream is stream:
            self.stream = None

    def take_media_cut(self) -> float | None:
        """The fault ``media_cut_after``, the first time it is asked for."""
        delay, self._media_cut = self._media_cut, None
        return delay
