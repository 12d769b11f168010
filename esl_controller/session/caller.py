"""What the caller utters, on its way to the agent; and whether it is speech."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from esl_controller.call.events import SpeechConfirmed, SpeechDoubted
from media.frame import Format, decode
from media.speech_check import SpeechCheck, Verdict

BEFORE_MS = 500  # of what led the model to say that speech began
MESSAGES = BEFORE_MS // 20  # that hold so much at least


class CallerAudio:
    """Remembers the last moments, and checks on demand whether they and what follows are speech.

    ``report`` gets the verdicts; ``confirm_ms`` of speech are wanted, with 0 all is speech.
    """

    def __init__(
        self,
        format_: Format,
        confirm_ms: int,
        report: Callable[[SpeechConfirmed | SpeechDoubted], None],
    ) -> None:
        self._format = format_
        self._confirm_ms = confirm_ms
        self._report = report
        self._before: deque[bytes] = deque(maxlen=MESSAGES)
        self._check: SpeechCheck | None = None

    def heard(self, audio: bytes) -> None:
        """More of the caller, in the agent's format."""
        self._before.append(audio)
        if self._check is not None:
            self._feed(audio)

    def check(self) -> None:
        """Begin to check, from the last moments on."""
        if not self._confirm_ms:
            self._report(SpeechConfirmed())
            return
        before = b"".join(self._before)[-self._format.frame_bytes * MESSAGES :]
        lead_ms = round(self._format.ms(len(before)))
        self._check = SpeechCheck(self._format.rate, self._confirm_ms, lead_ms=lead_ms)
        self._feed(before)

    def stop(self) -> None:
        """No verdict is wanted any more."""
        self._check = None

    def _feed(self, audio: bytes) -> None:
        assert self._check is not None
        verdict = self._check.feed(decode(audio, self._format.encoding))
        if verdict is Verdict.SPEECH:
            self._check = None
            self._report(SpeechConfirmed())
        elif verdict is Verdict.NOISE:
            self._report(SpeechDoubted())
