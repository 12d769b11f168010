"""The caller's audio on its way to the agent: the gate, and the checks whether it is speech.

Data takes the short way: ``media.py`` converts a frame and gives it to ``CallerAudio.hear``, which
gives it to the agent. The decisions only set the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from esl_controller.agents.base import Agent
from esl_controller.call.agent_events import AgentEvent, SpeechStarted, SpeechStopped
from esl_controller.call.events import SpeechConfirmed, SpeechDoubted, ToneHeard
from media.frame import decode
from media.speech_check import SpeechCheck, Verdict
from media.tone_check import ToneCheck

BEFORE_MS = 500  # what led the model to say that speech began is checked, too


class CallerAudio:
    """Passes the caller's audio to the agent, checks on demand whether it is speech, and always
    whether it is a tone.

    ``gate``: ``closed`` while hold music plays and outside the conversation, ``silent`` while the
    caller holds us or types secret digits (``actions.SetGates``). ``confirm_ms`` milliseconds of
    speech make an interruption; with 0 every sound is one. ``report`` gets the verdicts.
    """

    def __init__(
        self, confirm_ms: int, report: Callable[[SpeechConfirmed | SpeechDoubted | ToneHeard], None]
    ) -> None:
        self.gate: Literal["closed", "open", "silent"] = "closed"
        self._confirm_ms = confirm_ms
        self._report = report
        self._agent: Agent
        self._before = bytearray()  # the last ``BEFORE_MS``
        self._check: SpeechCheck | None = None
        self._tone: ToneCheck | None = None

    def connect(self, agent: Agent) -> None:
        """From now on ``agent`` hears the caller. Before audio can pass, there must be one."""
        self._agent = agent
        self._before.clear()
        self._check = self._tone = None

    def hear(self, audio: bytes) -> None:
        """More of the caller, in the agent's format; any size."""
        if self.gate == "closed" or not audio:
            return
        if self.gate == "silent":
            if not self._agent.takes_turns:
                return
            # The caller's audio is this model's clock: without any, it would stop in mid-word.
            audio = self._agent.input.silence(len(audio))
        self._agent.hear(audio)
        self._before += audio
        del self._before[: -self._agent.input.bytes_of(BEFORE_MS)]
        if self._check is not None:
            self._feed(audio)
        if self._tone is not None:
            self._feed_tone(audio)

    def follow(self, event: AgentEvent) -> None:
        """The model has reported ``event``: between the beginning and the end of what it takes for
        speech, tones are looked for."""
        if isinstance(event, SpeechStarted):
            self._tone = ToneCheck(self._agent.input.rate)
            self._feed_tone(bytes(self._before))
        elif isinstance(event, SpeechStopped):
            self._check = self._tone = None

    def check(self) -> None:
        """Begin to check, from the last moments on."""
        if not self._confirm_ms:
            self._report(SpeechConfirmed())
            return
        format_ = self._agent.input
        before = bytes(self._before)
        lead_ms = round(format_.ms(len(before)))
        self._check = SpeechCheck(format_.rate, self._confirm_ms, lead_ms=lead_ms)
        self._feed(before)

    def stop(self) -> None:
        """No verdict is wanted any more."""
        self._check = None

    def _feed(self, audio: bytes) -> None:
        assert self._check is not None
        verdict = self._check.feed(decode(audio, self._agent.input.encoding))
        if verdict is Verdict.SPEECH:
            self._check = None
            self._report(SpeechConfirmed())
        elif verdict is Verdict.NOISE:
            self._report(SpeechDoubted())

    def _feed_tone(self, audio: bytes) -> None:
        assert self._tone is not None
        tone = self._tone
        if tone.feed(decode(audio, self._agent.input.encoding)):
            self._tone = None
            if self._check is None and self._confirm_ms:
                # The caller may speak yet, before the model says that the sound has ended.
                self._check = SpeechCheck(self._agent.input.rate, self._confirm_ms, lead_ms=0)
            self._report(ToneHeard(tone.alone))
