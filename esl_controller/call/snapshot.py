"""What a call must remember to go on in another process. [core]

The words are in its record; this is the rest, written whenever it has changed. Secret digits are
not remembered: they are typed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from esl_controller.call.agent import History
from esl_controller.call.events import ToolCall, Usage

HANGUP: Final = "hangup"
SOMEBODY: Final = "somebody else"  # to whom a caller was transferred, if we do not know


@dataclass(frozen=True)
class Snapshot:
    """What was decided so far. Times are seconds of the call's clock; in the store, of Unix.

    ``owes``: the model was to answer, and has not begun. ``leaving``: how the conversation ends if
    that is decided, HANGUP or the name of a destination; ``goodbye``: what is still to be said
    before. ``pending``: function calls without a result; ``leaving_call`` is the one that wants to
    leave, ``hold`` the one that keeps the caller on hold until ``held_until``.
    ``back_from``: the destination that the caller comes back from; ``returns``: how often that was;
    ``left_at``: when they went there, or 0. ``speaks``: the caller did, or may have, and nobody
    knows the words yet.
    """

    ends_at: float = 0.0
    greeted: bool = False
    turns: int = 0
    prompts: int = 0
    owes: bool = False
    leaving: str = ""
    goodbye: str = ""
    leaving_call: str = ""
    hold: str = ""
    held_until: float = 0.0
    pending: tuple[ToolCall, ...] = ()
    back_from: str = ""
    returns: int = 0
    left_at: float = 0.0
    speaks: bool = False

    @property
    def leaver(self) -> ToolCall | None:
        """The function call that wants to leave, or wanted a transfer, and has no result."""
        return next((call for call in self.pending if call.call_id == self.leaving_call), None)

    @property
    def transferred(self) -> Snapshot:
        """The same once the caller was transferred, for the case that they come back.

        The function call that wanted it gets its result then.
        """
        return replace(
            self,
            owes=False,
            speaks=False,
            leaving="",
            goodbye="",
            pending=(self.leaver,) if self.leaver else (),
            back_from=self.leaving or SOMEBODY,
            returns=self.returns + 1,
        )

    def moved(self, seconds: float) -> Snapshot:
        """The same by another clock."""
        return replace(
            self,
            ends_at=self.ends_at + seconds,
            held_until=self.held_until + seconds,
            left_at=self.left_at and self.left_at + seconds,
        )


@dataclass(frozen=True)
class StoredSnapshot:
    """What is written down: ``memory``, and what the call's shell knows. ``cut``: a sentence was
    cut off by an earlier loss, and has not gone on."""

    memory: Snapshot
    recording: str = ""
    usage: Usage = field(default_factory=Usage)
    cut: bool = False


@dataclass(frozen=True)
class Resumption:
    """A call that goes on here: what it remembers, and what became of it meanwhile.

    ``cut``: we were cut off in mid-sentence; ``lost_words``: what the caller said last is not
    known. ``away_s``: how long the caller has waited, 0 if that is not known. ``unreached``: why
    the destination could not be reached that the caller comes back from: FreeSWITCH's cause.
    """

    snapshot: Snapshot
    history: History = ()
    cut: bool = False
    lost_words: bool = False
    away_s: float = 0.0
    recorded: bool = False
    unreached: str = ""


_STORED = TypeAdapter(StoredSnapshot)


def dump(stored: StoredSnapshot) -> str:
    """As a JSON text."""
    return _STORED.dump_json(stored).decode()


def load(text: str) -> StoredSnapshot | None:
    """What ``dump`` wrote; None for anything else."""
    try:
        return _STORED.validate_json(text)
    except ValidationError:
        return None
