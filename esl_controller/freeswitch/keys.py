"""One press of a key is one key, however many DTMF events tell of it. [core]

A trunk may send a key as a telephone event, as a tone and as SIP INFO at once, or repeat a
telephone event with another time stamp. FreeSWITCH then fires a DTMF event for each, with its
``DTMF-Source``; ``DTMF-Duration`` is how long the key was pressed, in samples of 8 kHz
(``switch_channel_dequeue_dtmf`` in switch_channel.c). It fires one with each frame at most, so they
are 20 ms apart.

The times are FreeSWITCH's own. Ours would not do: after a pause of our process all events come at
once, and two presses would look like one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from esl_controller.freeswitch.wire import header

SAME_KEY_S: Final = 0.1  # the fastest typists press one key eight times a second
LONGEST_S: Final = 1.0  # some trunks report a duration that nobody has pressed


class _Press(NamedTuple):
    digit: str
    source: str
    at_us: int


class KeyPresses:
    """Tells the keys of one channel from repetitions of them."""

    def __init__(self) -> None:
        self._last: _Press | None = None

    def is_new(self, event: Mapping[str, Any]) -> bool:
        """Whether the DTMF ``event`` is a press of its own, and no repetition of the last one: the
        same key within ``SAME_KEY_S``. One source may tell of a key when it goes down and another
        when it comes up again, so the time for which it was pressed is added if they differ."""
        press = _Press(
            header(event, "DTMF-Digit"),
            header(event, "DTMF-Source"),
            _number(header(event, "Event-Date-Timestamp")),
        )
        last = self._last
        if last is not None and last.digit == press.digit:
            within_s = SAME_KEY_S
            if last.source != press.source:
                within_s += min(_number(header(event, "DTMF-Duration")) / 8000, LONGEST_S)
            if 0 <= (press.at_us - last.at_us) / 1e6 < within_s:
                return False
        self._last = press
        return True


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
