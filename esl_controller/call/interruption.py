"""Whether the caller's voice silences ours. [core]

Part of ``conversation.py``. The caller makes a sound while we are heard: Pause, CheckSpeech.
Confirmed, the caller has the word. Doubted, Resume; from then on, in the same reply, nothing pauses
before it is confirmed, because what fooled us once (an echo) will do it again.
"""

from __future__ import annotations

from esl_controller.call.actions import Actions, CheckSpeech, Forget, Pause, Resume, StopCheck


class Interruption:
    """``speaking``: the caller has the word; ``paused``: our speech waits for a verdict."""

    def __init__(self) -> None:
        self.speaking = False
        self.paused = False
        self._checking = False
        self._fooled = False

    def new_reply(self) -> None:
        """What fooled us in the last reply may be a caller in this one."""
        self._fooled = False

    def check(self, *, pause: bool) -> Actions:
        """The caller makes a sound while we speak; ``pause``: it may interrupt us."""
        if self._checking:
            return []
        self._checking = True
        if self._fooled or not pause:
            return [CheckSpeech()]
        self.paused = True
        return [Pause(), CheckSpeech()]

    def confirmed(self) -> bool:
        """It is speech; whether that is news."""
        news = self._checking and not self.speaking
        self.speaking = self.speaking or news
        return news

    def doubted(self) -> Actions:
        """It is none, so far."""
        if not self._checking or self.speaking:
            return []
        self._fooled = True
        return self._resume()

    def stopped(self, item: str) -> Actions:
        """The sound, or the turn, is over; without a confirmation it was no speech."""
        if not self._checking:
            self.speaking = False
            return []
        noise = not self.speaking
        self._fooled = self._fooled or noise
        return [*self.release(), *([Forget(item)] if noise and item else [])]

    def silenced(self) -> None:
        """Our speech was dropped: nothing of it waits any more."""
        self.paused = False

    def release(self) -> Actions:
        """Whatever the caller does, it is of no interest any more."""
        stop: Actions = [StopCheck()] if self._checking else []
        self.speaking = self._checking = False
        return [*stop, *self._resume()]

    def _resume(self) -> Actions:
        resume: Actions = [Resume()] if self.paused else []
        self.paused = False
        return resume
