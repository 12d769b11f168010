"""Converts the audio of mod_audio_stream into the format of whoever hears it. [core]"""

from __future__ import annotations

from math import log2
from typing import Literal

from media.frame import Format, pcm
from media.resample import Converter

SETTLE_S = 0.2  # not measured: a connection may begin with earlier audio, sent all at once
PROBE_S = 0.4  # measured
PROBE_LIMIT = 1 << 18  # bytes; no more is held back, whatever was measured by then


class StreamConverter:
    """Converts the messages of one call's stream, of any size, to ``target``.

    ``asked`` is the rate in Hz that ``uuid_audio_stream start`` named, ``channel`` the channel's
    own (0: not known). The sptmru build (since 2024-05-18) does not resample: it sends the
    channel's rate whatever was asked for
    (docs/design/freeswitch.md#the-rate-and-size-of-its-messages). So where the two rates differ,
    the first ``SETTLE_S + PROBE_S`` seconds of each connection are held back, and the bytes per
    second of the later part tell which rate it is. ``rate`` is the one assumed so far.
    """

    def __init__(
        self, target: Format, asked: int, channel: int, mix: Literal["mono", "mixed", "stereo"]
    ) -> None:
        self.rate = asked
        self._target = target
        self._asked = asked
        self._channel = channel
        self._stereo = mix == "stereo"
        self.restart()

    def restart(self) -> None:
        """A new connection begins: forget what is left of the old one."""
        self._partial = b""
        self._held: list[bytes] = []
        self._since: float | None = None
        self._counted: int | None = None  # bytes
        self._converter: Converter | None = None
        if self._channel in (0, self._asked):
            self._converter = Converter(pcm(self._asked), self._target)

    def feed(self, data: bytes, now: float) -> bytes:
        """The audio of ``data`` in ``target`` format, possibly none yet. ``now``: seconds of a
        monotonic clock."""
        if self._stereo:
            data = self._left(data)
        if self._converter is None:
            return self._probe(data, now)
        return self._converter.feed(data)

    def _left(self, data: bytes) -> bytes:
        """The caller's samples: with ``stereo`` the module interleaves caller and reply."""
        data = self._partial + data
        whole = len(data) & ~3
        self._partial = data[whole:]
        left = bytearray(whole // 2)
        left[0::2], left[1::2] = data[0:whole:4], data[1:whole:4]
        return bytes(left)

    def _probe(self, data: bytes, now: float) -> bytes:
        self._held.append(data)
        if self._since is None:
            self._since = now + SETTLE_S
        if self._counted is not None:
            self._counted += len(data)
        elif now >= self._since:
            # Not counted: the module collected this message before the measurement began.
            self._since, self._counted = now, 0
        elapsed = now - self._since
        if elapsed < PROBE_S and sum(map(len, self._held)) < PROBE_LIMIT:
            return b""
        if self._counted:
            seen = self._counted / 2 / max(elapsed, 1e-3)
            self.rate = min((self._asked, self._channel), key=lambda rate: abs(log2(seen / rate)))
        self._converter = Converter(pcm(self.rate), self._target)
        held, self._held = b"".join(self._held), []
        return self._converter.feed(held)
