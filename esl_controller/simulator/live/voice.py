"""The model's voice: one endless stream, silence included."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from esl_controller.simulator.model_base.utterance import ModelUtterance
from media.frame import Format


class Chunk(NamedTuple):
    """One delta of the stream: of `utterance`, with the words that begin in it, or silence."""

    audio: bytes
    utterance: str = ""
    words: str = ""


class ModelVoice:
    """Cuts what is to be said, and the silence around it, into deltas of `delta_ms`."""

    def __init__(self, fmt: Format, delta_ms: int) -> None:
        frames = fmt.rate * delta_ms // 1000
        self._silence = fmt.silence(frames * fmt.sample_bytes)
        self._waiting: deque[Chunk] = deque()

    @property
    def delta_bytes(self) -> int:
        """Size of every delta."""
        return len(self._silence)

    def say(self, name: str, utterance: ModelUtterance) -> None:
        """Say it after what is being said. Its words come ahead of its audio, one per delta."""
        words = utterance.transcript.split(" ")
        pieces = [word if not i else f" {word}" for i, word in enumerate(words)]
        last = len(utterance.chunks) - 1
        for index, audio in enumerate(utterance.chunks):
            said = "".join(pieces[index : index + 1] if index < last else pieces[index:])
            audio += self._silence[len(audio) :]
            self._waiting.append(Chunk(audio, name, said))

    def fall_silent(self) -> None:
        """Drop what is still to be said."""
        self._waiting.clear()

    def next(self) -> Chunk:
        """The next delta."""
        return self._waiting.popleft() if self._waiting else Chunk(self._silence)
