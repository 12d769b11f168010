"""mod_audio_stream: the caller's voice over a WebSocket, in the two builds in use.

Events, their bodies, and what happens when the server is missing or goes away follow
captures/sptmru/*.jsonl and captures/amigniter/*.jsonl. Rates, sizes and intervals of the
audio were measured on FreeSWITCH 1.10.12 (mono, by the 440 Hz tone of a caller;
docs/design/freeswitch.md#the-rate-and-size-of-its-messages):

=========  =======  ===========  =================================================================
build      channel  asked        messages
=========  =======  ===========  =================================================================
sptmru     8 kHz    ``8k``       640 bytes every 40 ms, 8 kHz
sptmru     8 kHz    ``16k``      1280 bytes every 80 ms, still 8 kHz
sptmru     16 kHz   ``8k``       640 bytes every 20 ms, still 16 kHz
sptmru     16 kHz   ``16k``      1280 bytes every 40 ms, 16 kHz
sptmru     48 kHz   either       1920 bytes every 20 ms, still 48 kHz
amigniter  any      ``8k``       320 bytes every 20 ms, 8 kHz
amigniter  any      ``16k``      640 bytes every 20 ms, 16 kHz
=========  =======  ===========  =================================================================

So the sptmru build (``main`` since 2024-05-18) sends the channel's own rate whatever was asked
for: it makes a resampler and never calls it. It sends a message once it holds as many bytes as
40 ms would take at the rate asked for. ``STREAM_BUFFER_SIZE`` (20, 40, 60 and 100 tried) changes
nothing there; in the amigniter build 40 gives a message of two frames every 40 ms, 100 one of five
every 100 ms.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import tempfile
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from esl_controller.simulator.freeswitch import websocket
from esl_controller.simulator.freeswitch.audio import CallerVoice, HeardFrames, resample
from esl_controller.simulator.freeswitch.events import Codec
from esl_controller.simulator.freeswitch.faults import Faults
from esl_controller.simulator.freeswitch.tap import Tap
from media.frame import Samples

Build = Literal["sptmru", "amigniter"]
StreamMix = Literal["mono", "mixed", "stereo"]

MAX_BACKLOG = 512 * 1024
"""Bytes that a media bug keeps while the sptmru build is not connected; newer ones are lost."""

_RAW_SUFFIXES = {8000: ".r8", 16000: ".r16", 24000: ".r24", 32000: ".r32", 48000: ".r48"}
_FILE_TYPES: Mapping[Build, tuple[str, ...]] = {
    "sptmru": ("wav",),
    "amigniter": ("wav", "mp3", "ogg", "pcmu", "pcma"),
}


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What ``uuid_audio_stream UUID start`` asked for."""

    url: str
    mix: StreamMix
    rate: int
    """Hz."""
    metadata: str = ""


class StreamedChannel(Protocol):
    """What mod_audio_stream needs of the channel that it streams."""

    codec: Codec
    variables: dict[str, str]
    faults: Faults
    voice: CallerVoice
    heard: HeardFrames

    @property
    def uuid(self) -> str:
        """The Unique-ID."""

    @property
    def ready(self) -> bool:
        """Whether the call is up."""

    def spawn(self, work: Coroutine[Any, Any, None], /) -> asyncio.Task[None]:
        """Run a task, at most until the switch closes."""

    def fire_custom(self, subclass: str, body: str) -> None:
        """Fire a CUSTOM event with a body."""

    def stream_connected(self) -> None:
        """The WebSocket is open."""

    def stream_released(self, stream: AudioStream) -> None:
        """The module let go of the channel."""

    def take_media_cut(self) -> float | None:
        """The fault ``media_cut_after``, the first time it is asked for."""


class AudioStream:
    """One started stream: the module's media bug and its WebSocket."""

    def __init__(self, channel: StreamedChannel, build: Build, request: StreamRequest) -> None:
        self._channel = channel
        self._build = build
        self._request = request
        self._headers = _extra_headers(channel.variables.get("STREAM_EXTRA_HEADERS", ""))
        self._channel_rate = channel.codec.rate
        self._rate = channel.codec.rate if build == "sptmru" else request.rate
        buffer_size = channel.variables.get("STREAM_BUFFER_SIZE", "")
        self._message_bytes = _message_bytes(build, request, self._rate, buffer_size)
        self._tap = None if request.mix == "mono" else Tap(channel.heard)
        self._buffer = bytearray()
        self._socket: websocket.WebSocket | None = None
        self._paused = False
        self._played = 0
        self._files: list[Path] = []
        self.sent_bytes = 0
        """Bytes of audio sent since the start."""
        self._task = channel.spawn(self._run())

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is open."""
        return self._socket is not None

    def tick(self) -> None:
        """Take the caller's frame of this 20 ms, and send when a message is full."""
        if self._paused or (self._socket is None and self._build == "amigniter"):
            return
        if self._channel.faults.media_mute:
            return
        if len(self._buffer) < MAX_BACKLOG:
            self._buffer += self._frame()
        if self._socket is not None:
            self._flush(self._socket)

    def _frame(self) -> bytes:
        rate = self._rate
        said = self._channel.voice.frame(rate)
        if self._channel.codec.rate != self._channel_rate:
            # The module does not notice: it takes the samples for those of the rate it began with.
            said = self._channel.voice.frame(self._channel.codec.rate)
            if self._build == "amigniter":
                wrong = np.frombuffer(said, np.int16)
                said = resample(wrong, self._channel_rate, rate).tobytes()
        if self._tap is None:
            return said
        heard = np.frombuffer(self._tap.frame(), np.int16)
        ours = resample(heard, self._channel.heard.rate, rate)
        caller = np.frombuffer(said, np.int16)
        size = min(len(ours), len(caller))
        if self._request.mix == "stereo":
            pairs: Samples = np.column_stack((caller[:size], ours[:size]))
            return pairs.tobytes()
        mixed = caller[:size].astype(np.int32) + ours[:size]
        clipped: Samples = np.clip(mixed, -32768, 32767).astype(np.int16)
        return clipped.tobytes()

    def _flush(self, socket: websocket.WebSocket) -> None:
        size = self._message_bytes
        while len(self._buffer) >= size:
            socket.send(websocket.BINARY, bytes(self._buffer[:size]))
            del self._buffer[:size]
            self.sent_bytes += size

    def pause(self, paused: bool) -> None:
        """Stop sending, or go on; what is said in between is lost."""
        self._paused = paused
        self._buffer.clear()

    def send_text(self, text: str) -> None:
        """Send a text message if connected."""
        if self._socket is not None:
            self._socket.send(websocket.TEXT, text.encode())

    def stop(self, text: str = "") -> None:
        """End the stream; the sptmru build says so with an event, the other does not."""
        if text:
            self.send_text(text)
        self._release()
        socket, self._socket = self._socket, None
        self._task.cancel()
        if socket is not None:
            self._channel.spawn(self._say_goodbye(socket))

    async def _say_goodbye(self, socket: websocket.WebSocket) -> None:
        await socket.close(1000)
        if self._build == "sptmru" and self._channel.ready:
            self._notify("disconnect", _disconnected(1000, "Normal closure"))

    def _release(self) -> None:
        if self._tap:
            self._tap.close()
        for file in self._files:
            file.unlink(missing_ok=True)
        self._files.clear()
        self._channel.stream_released(self)

    async def _run(self) -> None:
        while True:
            try:
                socket = await self._connect()
            except websocket.UpgradeRefused as refusal:
                self._fail(self._upgrade_error(refusal))
                return
            except (OSError, ValueError) as error:
                self._fail(self._connect_error(error))
                return
            self._socket = socket
            if self._request.metadata:
                socket.send(websocket.TEXT, self._request.metadata.encode())
            self._notify("connect", {"status": "connected"})
            self._channel.stream_connected()
            cut = self._cut_later(socket)
            try:
                async for opcode, payload in socket.messages():
                    if opcode == websocket.TEXT:
                        self._text(payload.decode("utf-8", "replace"))
            finally:
                if cut:
                    cut.cancel()
                if self._socket is not None:
                    self._socket = None
                    socket.abort()
            if not self._lost(socket):
                return

    def _cut_later(self, socket: websocket.WebSocket) -> asyncio.TimerHandle | None:
        delay = self._channel.take_media_cut()
        if delay is None:
            return None
        return asyncio.get_running_loop().call_later(delay, socket.abort)

    def _lost(self, socket: websocket.WebSocket) -> bool:
        """Report the end of the connection; whether to connect again."""
        if self._build == "sptmru":
            code, reason = socket.close_code, socket.close_reason
            if code is None:
                code, reason = 1006, "Abnormal closure"
            self._notify("disconnect", _disconnected(code, reason))
            return True
        if socket.close_code is not None:
            self._notify("disconnect", _disconnected(socket.close_code, socket.close_reason))
        else:
            error = "Connection closed without WebSocket CLOSE (abnormal EOF)"
            self._fail({"code": 1, "error": error})
        return False

    async def _connect(self) -> websocket.WebSocket:
        faults = self._channel.faults
        if faults.media_refused:
            raise ConnectionRefusedError(111, "Connection refused")
        url = self._request.url
        if faults.media_not_found:
            parts = urlsplit(url)
            url = urlunsplit(parts._replace(path="/not/found", query=""))
        return await websocket.connect(url, self._headers)

    def _connect_error(self, error: Exception) -> dict[str, object]:
        parts = urlsplit(self._request.url)
        number = getattr(error, "errno", None) or 0
        text = "Connection refused" if number == 111 else str(error)
        if self._build == "amigniter":
            return {"code": 6, "error": f"{text} (system error {number})"}
        where = f"{parts.hostname} on port {parts.port or 80}"
        reason = f"Unable to connect to {where}, error: Connect error: {text}"
        return {"retries": 1, "error": reason, "wait_time": 100, "http_status": 0}

    def _upgrade_error(self, refusal: websocket.UpgradeRefused) -> dict[str, object]:
        if self._build == "amigniter":
            return {"code": 6, "error": "WebSocket upgrade failed"}
        error = (
            f"Expecting status 101 (Switching Protocol), got {refusal.status} status connecting "
            f"to {self._request.url}, HTTP Status line: {refusal.status_line}\r\n"
        )
        return {"retries": 1, "error": error, "wait_time": 100, "http_status": refusal.status}

    def _fail(self, message: dict[str, object]) -> None:
        self._notify("error", {"status": "error", "message": message})
        self._release()

    def _text(self, text: str) -> None:
        played = self._save(text)
        if played is None:
            self._channel.fire_custom("mod_audio_stream::json", text)
        else:
            self._notify("play", played)

    def _save(self, text: str) -> dict[str, object] | None:
        """Put ``streamAudio`` into a file; None when the message is anything else."""
        try:
            message = json.loads(text)
            data = dict(message["data"]) if message["type"] == "streamAudio" else None
            if data is None:
                return None
            audio = base64.b64decode(data.pop("audioData"), validate=True)
            kind, rate = data["audioDataType"], data.get("sampleRate", 0)
        except (ValueError, KeyError, TypeError, binascii.Error):
            return None
        suffix = _RAW_SUFFIXES.get(rate) if kind == "raw" else None
        if kind in _FILE_TYPES[self._build]:
            suffix = f".{kind}"
        if suffix is None:
            return None
        name = f"{self._channel.uuid}_{self._played}.tmp{suffix}"
        path = Path(tempfile.gettempdir()) / name
        path.write_bytes(audio)
        self._played += 1
        self._files.append(path)
        return {**data, "file": str(path)}

    def _notify(self, subclass: str, body: Mapping[str, object]) -> None:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        self._channel.fire_custom(f"mod_audio_stream::{subclass}", text)


def _disconnected(code: int, reason: str) -> dict[str, object]:
    return {"status": "disconnected", "message": {"code": code, "reason": reason}}


def _message_bytes(build: Build, request: StreamRequest, rate: int, buffer_size: str) -> int:
    """The size of a message of whole 20 ms frames at ``rate`` (Hz); see the module's table.

    ``STREAM_BUFFER_SIZE`` is in ms, a multiple of 20.
    """
    channels = 2 if request.mix == "stereo" else 1
    frame = rate // 50 * 2 * channels
    if build == "sptmru":
        enough = 2 * (request.rate // 50 * 2 * channels)
        return -(-enough // frame) * frame
    milliseconds = int(buffer_size) if buffer_size.isdecimal() else 0
    return frame * (milliseconds // 20 if milliseconds and milliseconds % 20 == 0 else 1)


def _extra_headers(text: str) -> dict[str, str]:
    """``STREAM_EXTRA_HEADERS``: a JSON object of strings; anything else counts for nothing."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if isinstance(value, str)}
