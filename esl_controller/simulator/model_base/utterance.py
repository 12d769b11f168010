"""What a stand-in says, cut into the messages in which it is sent."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from media.frame import Format


@dataclass(frozen=True)
class ModelUtterance:
    """Something to say: audio in `format`, cut into deltas, and its words."""

    format: Format
    chunks: Sequence[bytes]
    encoded: Sequence[str]
    """The chunks in base64."""
    transcript: str

    @classmethod
    def of(
        cls, audio: bytes, fmt: Format, transcript: str, delta_ms: int, *, odd: bool = False
    ) -> ModelUtterance:
        """Cut `audio` into deltas of `delta_ms` milliseconds, and encode them; `odd`: each a byte
        too long."""
        size = fmt.rate * delta_ms // 1000 * fmt.sample_bytes + odd
        chunks = [audio[at : at + size] for at in range(0, len(audio), size)]
        return cls(fmt, chunks, [base64.b64encode(c).decode() for c in chunks], transcript)
