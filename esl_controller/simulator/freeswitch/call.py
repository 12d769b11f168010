"""A call as its caller knows it: speaking, pressing keys, listening, hanging up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from esl_controller.simulator.freeswitch.audio import (
    FRAME_SECONDS,
    FramedSound,
    level,
)
from esl_controller.simulator.freeswitch.events import CodecName, codec_of
from esl_controller.simulator.freeswitch.session import SwitchSession
from media.frame import Samples

SPEECH_LEVEL = 150.0
"""Root mean square above which a frame counts as sound rather than silence."""


class CallStandIn:
    """The caller's end of one call."""

    def __init__(self, session: SwitchSession) -> None:
        self._session = session
        self._channel = session.channel
        self._lane_open = asyncio.Event()
        self._closed = False
        self._unwatch = session.channel.heard.watch(self._first_frame)

    def _first_frame(self, _: float, __: bytes) -> None:
        self.close()
        self._lane_open.set()
        self._session.step("speaking")

    def close(self) -> None:
        """Stop waiting for the first frame."""
        if not self._closed:
            self._closed = True
            self._unwatch()

    @property
    def uuid(self) -> str:
        """The Unique-ID."""
        return self._channel.uuid

    @property
    def variables(self) -> dict[str, str]:
        """The channel variables, live."""
        return self._channel.variables

    @property
    def rate(self) -> int:
        """The channel's rate in Hz: that of the lane, both ways."""
        return self._channel.codec.rate

    @property
    def heard(self) -> list[tuple[float, bytes]]:
        """(monotonic seconds, samples) of every frame that the caller heard, in order."""
        return self._channel.heard.frames

    @property
    def cause(self) -> str:
        """Why the call ended; empty while it lasts."""
        return self._channel.cause

    @property
    def is_answered(self) -> bool:
        """Whether the call was answered."""
        return self._channel.answered.is_set()

    @property
    def is_streaming(self) -> bool:
        """Whether the media WebSocket is open now."""
        return self._channel.stream is not None and self._channel.stream.connected

    @property
    def lane_is_open(self) -> bool:
        """Whether the lane carries frames now."""
        return self._channel.unicast.carrying is not None

    # What the caller does

    def speak(self, pcm: Samples, rate: int) -> float:
        """Queue words; the monotonic time at which they begin: the next tick, or after others.

        Exact to the sample for readers at ``rate`` (Hz), resampled once for others. The codec's own
        loss is not imitated. Raises OverflowError when an hour is queued.
        """
        framed = FramedSound(pcm, rate)
        framed.prepare(self.rate)
        framed.prepare(16000)
        begins = self._session.switch.next_tick + self._channel.voice.pending_seconds
        self._channel.voice.queue(framed)
        return begins

    def stop_speaking(self) -> None:
        """Fall silent."""
        self._channel.voice.clear()

    @property
    def speaking_for(self) -> float:
        """Seconds of queued words that are still to be said."""
        return self._channel.voice.pending_seconds

    def hold(self) -> None:
        """Put the call on hold."""
        self._channel.hold()

    def unhold(self) -> None:
        """Come back."""
        self._channel.unhold()

    def change_codec(
        self, name: CodecName, rate: int | None = None, *, packet_ms: int = 20
    ) -> None:
        """Speak another codec, or at another packet time, from now on. Raises ValueError."""
        self._channel.change_codec(codec_of(name, rate, packet_ms))

    def dtmf(self, digits: str) -> None:
        """Press keys."""
        self._channel.dtmf.extend(digits)

    def hangup(self, cause: str = "NORMAL_CLEARING") -> None:
        """Put the phone down."""
        self._channel.hangup(cause, by_caller=True)

    # What the caller waits for

    async def answered(self, timeout: float = 5.0) -> None:
        """Wait for the answer. Raises TimeoutError."""
        await _within(timeout, self._channel.answered)

    async def ended(self, timeout: float = 10.0) -> str:
        """Wait for the end of the call; its cause. Raises TimeoutError."""
        await _within(timeout, self._channel.ended)
        return self._channel.cause

    async def stream_connected(self, timeout: float = 5.0) -> None:
        """Wait for the media WebSocket, once in the call. Raises TimeoutError."""
        await _within(timeout, self._channel.streaming)

    async def lane_open(self, timeout: float = 5.0) -> None:
        """Wait for the first frame that the caller hears. Raises TimeoutError."""
        await _within(timeout, self._lane_open)

    async def wait_heard(
        self, wanted: Callable[[float, bytes], bool] | None = None, timeout: float = 10.0
    ) -> float:
        """Wait for a frame to come for which ``wanted(time, frame)``; default: any sound.

        Gives its monotonic time. Raises TimeoutError.
        """
        wanted = wanted or (lambda _, frame: level(frame) > SPEECH_LEVEL)
        found: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        def check(at: float, frame: bytes) -> None:
            if not found.done() and wanted(at, frame):
                found.set_result(at)

        unwatch = self._channel.heard.watch(check)
        try:
            async with asyncio.timeout(timeout):
                return await found
        finally:
            unwatch()

    async def wait_silence(self, seconds: float, timeout: float = 30.0) -> float:
        """Wait until the caller has heard no sound for this long; when the silence began.

        No frames at all are silence too. Raises TimeoutError.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        sound = asyncio.Event()

        def check(at: float, frame: bytes) -> None:
            nonlocal began
            if level(frame) > SPEECH_LEVEL:
                began = at + FRAME_SECONDS
                sound.set()

        unwatch = self._channel.heard.watch(check)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    sound.clear()
                    try:
                        async with asyncio.timeout_at(began + seconds):
                            await sound.wait()
                    except TimeoutError:
                        return began
        finally:
            unwatch()

    def heard_pcm(self, rate: int | None = None) -> Samples:
        """All that the caller heard since the answer, as one piece at ``rate`` (Hz).

        Frames follow each other as they came; a hole of more than 40 ms is silence.
        """
        return self._channel.heard.pcm(rate)

    def longest_gap(self) -> float:
        """The longest time between two frames that arrived one after the other, in seconds."""
        times = np.array([at for at, _ in self.heard])
        return float(np.diff(times).max()) if len(times) > 1 else 0.0


async def _within(timeout: float, event: asyncio.Event) -> None:
    async with asyncio.timeout(timeout):
        await event.wait()
