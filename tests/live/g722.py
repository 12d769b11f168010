"""G.722 for the telephone of ours, by the library that FreeSWITCH's own codec uses."""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path

import numpy as np

from media.frame import Samples

BITS_PER_S = 64_000


def library(prefix: Path) -> str | None:
    """Where spandsp is: FreeSWITCH's own, or the machine's; None if there is none."""
    own = prefix / "lib" / "libspandsp.so.3"
    return str(own) if own.exists() else ctypes.util.find_library("spandsp")


class G722:
    """One call's encoder and decoder: 16 kHz to and from half as many bytes."""

    def __init__(self, prefix: Path) -> None:
        self._spandsp = ctypes.CDLL(library(prefix))
        for name in ("g722_encode_init", "g722_decode_init"):
            getattr(self._spandsp, name).restype = ctypes.c_void_p
        self._encoder = ctypes.c_void_p(self._spandsp.g722_encode_init(None, BITS_PER_S, 0))
        self._decoder = ctypes.c_void_p(self._spandsp.g722_decode_init(None, BITS_PER_S, 0))

    def encode(self, values: Samples) -> bytes:
        """What goes over the line."""
        data = values.astype(np.int16).tobytes()
        payload = ctypes.create_string_buffer(values.size // 2)
        size = self._spandsp.g722_encode(self._encoder, payload, data, values.size)
        return payload.raw[:size]

    def decode(self, payload: bytes) -> Samples:
        """What is heard of it."""
        data = ctypes.create_string_buffer(len(payload) * 4)
        size = self._spandsp.g722_decode(self._decoder, data, payload, len(payload))
        return np.frombuffer(data.raw, np.int16)[:size]
