"""What a call must remember to go on in another process. [core]

A controller can be killed at any moment, and FreeSWITCH then hands its calls to another one. All
that the other one knows is in the database: the words in the record (``transcript.py``), what was
decided in the snapshot. It is taken after every event (``conversation_state.py``), and what changed
is stored by ``session/resume.py``, which also turns what it finds into a ``Resumption``.

What must survive is what the caller would notice: whether they were greeted and are owed an answer,
how the call is to end, a hold, the limits, which functions were called (none is run twice). What
must not survive: secret digits, which are typed again, and whatever belongs to connections that are
gone (responses, items, the stream, the lane).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from esl_controller.call.agent import History, ToolCall, Usage

HANGUP: Final = "hangup"
SOMEBODY: Final = "somebody else"  # stands for a destination that is not known


@dataclass(frozen=True)
class Snapshot:
    """What was decided so far. Times are seconds of the call's clock; in the store, Unix seconds.

    ``ends_at``: the conversation's limit. ``turns`` of the caller so far, and idle ``prompts``
    since the last of them. ``owes``: the caller waits for an answer and has heard nothing of it.
    ``speaks``: the caller spoke, or may have, and the words are not known yet.

    ``leaving``: how the conversation ends, HANGUP or the name of a destination; "" if that is not
    decided. ``goodbye``: the instructions for last words that are still to be said.

    ``pending``: function calls without a result. Among them, by call_id: ``leaving_call`` asked for
    the exit, ``hold`` keeps the caller on hold until ``held_until``.

    ``back_from``: the destination that the caller went to and comes back from; ``left_at``: when
    they went there, or 0; ``returns``: how often they came back from a transfer. ``for_good``: they
    went there without the promise that they may come back.
    """

    # These names, and those of StoredSnapshot, stand as JSON in databases, where controllers of
    # other versions read them: they stay as they are, and a new one needs a default.
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
    for_good: bool = False

    @property
    def exit_call(self) -> ToolCall | None:
        """The function call that asked for the exit and has no result yet."""
        return next((call for call in self.pending if call.call_id == self.leaving_call), None)

    @property
    def after_transfer(self) -> Snapshot:
        """The same once the caller was transferred, in case they come back. The function call that
        asked for the transfer gets its result then."""
        return replace(
            self,
            owes=False,
            speaks=False,
            leaving="",
            goodbye="",
            pending=(self.exit_call,) if self.exit_call else (),
            back_from=self.leaving or SOMEBODY,
            returns=self.returns + 1,
        )

    def shifted(self, seconds: float) -> Snapshot:
        """The same by a clock that is ``seconds`` ahead of this one."""
        return replace(
            self,
            ends_at=self.ends_at + seconds,
            held_until=self.held_until + seconds,
            left_at=self.left_at and self.left_at + seconds,
        )


@dataclass(frozen=True)
class StoredSnapshot:
    """What is stored: the snapshot (``memory``) and what the call's shell knows.

    ``recording``: its path at the switch, or "". ``usage``: what the model has cost so far.
    ``cut``: the agent was cut off when an earlier controller was killed, and nothing of the rest
    was heard yet. ``saved_at``: when that was, by the clock of the times in ``memory``; ``age_s``:
    the channel's age then, by the switch's clock; both are 0 if they are not known. ``begun_at``:
    when the conversation began anew with whoever was there then, or 0; what was said before is not
    told to the model.
    """

    memory: Snapshot
    recording: str = ""
    usage: Usage = field(default_factory=Usage)
    cut: bool = False
    saved_at: float = 0.0
    age_s: float = 0.0
    begun_at: float = 0.0


@dataclass(frozen=True)
class Resumption:
    """A call that goes on here: its snapshot, and what became of it meanwhile.

    ``cut``: the agent was cut off in mid-sentence. ``words_unknown``: what the caller said last is
    not in the record, and no function was called for it. ``away_s``: seconds that the caller has
    waited for us, 0 if not known. ``recorded``: the switch records the call already. ``unreached``:
    FreeSWITCH's cause why the destination that the caller comes back from could not be reached, or
    ""; ``instead``: the same where a mailbox or an announcement answered.
    """

    snapshot: Snapshot
    history: History = ()
    cut: bool = False
    words_unknown: bool = False
    away_s: float = 0.0
    recorded: bool = False
    unreached: str = ""
    instead: str = ""


_STORED = TypeAdapter(StoredSnapshot)


def dump(stored: StoredSnapshot) -> str:
    """``stored`` as a JSON text."""
    return _STORED.dump_json(stored).decode()


def load(text: str) -> StoredSnapshot | None:
    """What ``dump`` wrote; None if ``text`` is anything else."""
    try:
        return _STORED.validate_json(text)
    except ValidationError:
        return None
