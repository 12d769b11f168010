"""The input audio buffer: what the caller said since the last commit, and where speech is in it."""

from __future__ import annotations

import binascii
from typing import Final

from esl_controller.simulator.model_base.validation import ProtocolError
from media.frame import Format, decode
from media.voice_activity import VoiceActivity, VoiceEvent, VoiceStarted, VoiceStopped

_KEPT_SILENCE_MS: Final = 2_000  # without speech, with turn detection
_LONGEST_MS: Final = 600_000  # of a turn without an end; beyond, the oldest audio is dropped


class InputAudio:
    """One stream of the caller's audio in one format.

    Positions are milliseconds since the first sample of the session: `start_ms` is where this
    stream begins in it.
    """

    def __init__(self, fmt: Format, activity: VoiceActivity | None, start_ms: int = 0) -> None:
        self.format = fmt
        self._start_ms = start_ms
        self._bytes_ms = fmt.rate * fmt.sample_bytes // 1000
        self._data = bytearray()
        self._dropped = 0
        self.detect(activity)

    @property
    def end_ms(self) -> int:
        """How much audio the session has heard up to now."""
        return self._start_ms + (self._dropped + len(self._data)) // self._bytes_ms

    @property
    def pending_ms(self) -> float:
        """How much is in the buffer."""
        return len(self._data) / self._bytes_ms

    def detect(self, activity: VoiceActivity | None) -> None:
        """Find speech with another detector from now on, or not at all."""
        self._activity = activity
        self._activity_start_ms = self.end_ms

    def append(self, data: bytes) -> list[VoiceEvent]:
        """Add audio; what voice activity found in it, its times in session milliseconds."""
        self._data += data
        if self._activity is None:
            self._keep(_LONGEST_MS)
            return []
        events = self._activity.feed(decode(data, self.format.encoding))
        if not events:
            self._keep(_LONGEST_MS if self._activity.speaking else _KEPT_SILENCE_MS)
        return [self._shifted(event) for event in events]

    def take(self, start_ms: int, end_ms: int) -> bytes:
        """The audio between two positions; it and all before it leaves the buffer."""
        start, end = (
            max(0, (at - self._start_ms) * self._bytes_ms - self._dropped)
            for at in (start_ms, end_ms)
        )
        audio = bytes(self._data[start:end])
        self._drop(min(end, len(self._data)))
        return audio

    def take_all(self) -> bytes:
        """Everything in the buffer; speech that is going on ends without an event."""
        audio = bytes(self._data)
        self._drop(len(self._data))
        if self._activity is not None:
            self._activity.end_turn()
        return audio

    def _keep(self, ms: int) -> None:
        # In large steps: moving the rest of the buffer at each append would cost more than audio.
        excess = len(self._data) - ms * self._bytes_ms
        if excess > ms * self._bytes_ms // 2:
            self._drop(excess)

    def _drop(self, count: int) -> None:
        del self._data[:count]
        self._dropped += count

    def _shifted(self, event: VoiceEvent) -> VoiceEvent:
        kind = VoiceStarted if isinstance(event, VoiceStarted) else VoiceStopped
        return kind(event.at_ms + self._activity_start_ms)


def decode_append(audio: object, fmt: Format) -> bytes:
    """The bytes of an append's `audio` field. Raises ProtocolError if it is not valid base64.

    Half a sample at its end is refused as well: what the service does with it is not documented,
    and it would shift everything after it.
    """
    if not isinstance(audio, str):
        raise ProtocolError(
            "invalid_type", "Invalid type for 'audio': expected a base64 string.", "audio"
        )
    try:
        data = binascii.a2b_base64(audio, strict_mode=True)
    except ValueError:
        raise ProtocolError(
            "invalid_value", "Invalid 'audio'. Expected base64-encoded audio bytes.", "audio"
        ) from None
    if len(data) % fmt.sample_bytes:
        raise ProtocolError("invalid_value", "Invalid 'audio': half a sample at its end.", "audio")
    return data
