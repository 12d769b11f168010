"""What the caller utters, on its way to the agent; and whether it is speech."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from esl_controller.events import SpeechConfirmed, SpeechDoubted
from media.frame import Format, decode
from media.speech_check import SpeechCheck, Verdict

BEFORE_MS = 500  # of what led the model to say that speech began


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
        self._before: deque[bytes] = deque()
        self._before_ms = 0.0
        self._check: SpeechCheck | None = None

    def heard(self, audio: bytes) -> None:
        """More of the caller, in the agent's format."""
        self._before.append(audio)
        self._before_ms += self._format.ms(len(audio))
        while self._before_ms - self._format.ms(len(self._before[0])) > BEFORE_MS:
            self._before_ms -= self._format.ms(len(self._before.popleft()))
        if self._check is not None:
            self._feed(audio)

    def check(self) -> None:
        """Begin to check, from the last moments on."""
        if not self._confirm_ms:
            self._report(SpeechConfirmed())
            return
        before_ms = round(self._before_ms)
        self._check = SpeechCheck(self._format.rate, self._confirm_ms, lead_ms=before_ms)
        self._feed(b"".join(self._before))

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
