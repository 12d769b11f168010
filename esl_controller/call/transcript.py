"""The transcript of one call: what was said, heard and done, for the record and the model. [core]

Both must say what the caller heard, not what the model sent: it sends faster than it is played, and
the caller cuts it off. "Heard" is what the playout has given to FreeSWITCH, to the millisecond. The
model does not say which word falls on which millisecond, so a turn that was cut off keeps the same
share of its text as of its audio, cut back to a whole word: of 3,000 ms of which 1,200 were heard,
two fifths of the characters.

``put`` gets a change for the store whenever more is known of a turn: the first words as soon as
they are heard, then once a second, so that a controller that is killed leaves little untold.
``history`` is what a new connection to the model has to know. The words of a caller's turn often
come after the answer has begun: if the model is lost before, nobody will ever have them. Times are
Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from esl_controller.call.agent import Called, History, Said, ToolCall
from esl_controller.call.arguments import ARGUMENTS_LIMIT
from esl_controller.call.instructions import WORDS_LOST
from esl_controller.call.records import HISTORY, Claimed, ToolUsed, Turn

NUMBERS = 10_000  # each process that gets the call numbers its turns from a multiple of this on
WORDS_LIMIT = 20_000  # characters of a turn: twenty minutes of speech
PROGRESS_S = 1.0  # while a turn of the agent is heard, its text is put this often


@dataclass
class _Entry:
    who: Literal["caller", "agent"]
    number: int
    started_at: float
    item: str
    text: str = ""
    audio_ms: float = 0.0  # received from the agent so far
    complete: bool = False  # no more audio will come
    heard: bool = False  # at least its first sample
    put_at: float = 0.0
    ended_at: float | None = None
    latency_ms: int | None = None
    heard_ms: int | None = None  # how much was heard, if it was cut off
    held_ms: int | None = None  # how much was heard when the caller put us on hold
    answered: bool = False  # of the caller's: the agent has spoken or called a function since

    @property
    def heard_text(self) -> str:
        """The words that were heard; see the module's docstring."""
        if self.heard_ms is None:
            return self.text
        share = min(1.0, self.heard_ms / self.audio_ms) if self.audio_ms else 0.0
        if share == 1.0:
            return self.text
        return self.text[: int(len(self.text) * share)].rpartition(" ")[0]


class Transcript:
    """What one call leaves behind.

    ``silence_ms``: the silence after which the model that the call has reports that the caller has
    stopped; the caller's last word was that much earlier.
    """

    def __init__(self, call_uuid: str, put: Callable[[Turn | ToolUsed], None]) -> None:
        self._uuid = call_uuid
        self._put = put
        self.silence_ms = 0
        self._entries: list[_Entry | Called] = []
        self._items: dict[str, _Entry] = {}
        self._tools_began: dict[str, tuple[ToolCall, float]] = {}  # by call_id
        self._count = 0
        self._unanswered: _Entry | None = None  # the caller's last turn, once over

    def resume(self, claimed: Claimed, lost_at: float) -> bool:
        """Go on with the transcript of another process, which lost the call at ``lost_at``.

        Returns whether the agent was cut off by that.
        """
        self._count = claimed.epoch * NUMBERS
        cut = False
        changes: list[Turn | ToolUsed] = [*claimed.turns, *claimed.tools]
        for change in sorted(changes, key=_at):
            if isinstance(change, Turn):
                cut = self._resume_turn(change, lost_at)
            else:
                called = Called(change.call_id, change.name, change.arguments, change.output)
                self._entries.append(called)
        return cut

    def _resume_turn(self, turn: Turn, lost_at: float) -> bool:
        entry = _Entry(turn.who, turn.number, turn.started_at, "", turn.heard_text)
        entry.latency_ms, entry.ended_at = turn.latency_ms, turn.ended_at
        entry.answered = not turn.text  # those without words are recorded when they are answered
        self._entries.append(entry)
        if turn.ended_at is not None or turn.who == "caller":
            return False  # it is complete
        entry.text, entry.ended_at = turn.text, lost_at
        heard_ms = turn.interrupted_ms
        if heard_ms is None:
            heard_ms = max(0, round((lost_at - turn.started_at) * 1000))
        cut = turn.audio_ms is None or heard_ms < turn.audio_ms
        if cut:
            # Where the length is not known, the audio was still coming: all of it was heard.
            entry.audio_ms, entry.heard_ms = turn.audio_ms or heard_ms, heard_ms
        self._changed(entry)
        return cut

    # --- the caller -------------------------------------------------------------------------------

    def caller_began(self, item: str, at: float) -> None:
        """A turn of the caller begins; ``item`` is the model's name for it, if it has one."""
        self._add("caller", item or f"caller {self._count}", at)

    def caller_ended(self, item: str, at: float) -> None:
        """The caller has stopped speaking."""
        entry = self._caller(item)
        if entry is not None and entry.ended_at is None:
            entry.ended_at = max(entry.started_at, at - self.silence_ms / 1000)
            self._unanswered = entry
            if entry.text:  # otherwise it may be a cough: it is recorded when it is answered
                self._changed(entry)

    def caller_said(self, item: str, text: str) -> None:
        """The whole text of a turn; it may come after the answer."""
        entry = self._caller(item)
        if entry is not None:
            entry.text = text[:WORDS_LIMIT].strip()
            self._changed(entry)

    @property
    def turn_unknown(self) -> bool:
        """Whether the caller's last turn has no answer yet and its words are not known, so that
        they have to say it again."""
        last = self._caller("")
        return last is not None and not (last.text or last.answered)

    def model_gone(self, at: float) -> None:
        """If the caller is speaking, no model will say when they have stopped."""
        last = self._caller("")
        if last is not None:
            self.caller_ended(last.item, at + self.silence_ms / 1000)

    def _answer(self) -> None:
        """The agent begins to speak, or calls a function. If the caller speaks at that moment, it
        is about what they said before."""
        last = self._caller("")
        if last is not None and last.ended_at is not None:
            last.answered = True

    def forget(self, item: str) -> None:
        """The turn was no speech: strike it out."""
        entry = self._items.pop(item, None)
        if entry is not None:
            self._entries.remove(entry)
            if self._unanswered is entry:
                self._unanswered = None

    def _caller(self, item: str) -> _Entry | None:
        if item:
            return self._items.get(item)
        callers = (e for e in reversed(self._entries) if isinstance(e, _Entry))
        return next((entry for entry in callers if entry.who == "caller"), None)

    # --- the agent --------------------------------------------------------------------------------

    def agent_says(self, item: str, at: float, *, text: str = "", audio_ms: float = 0.0) -> None:
        """More of the agent's ``item`` has come: words, audio, or both."""
        entry = self._items.get(item) or self._add("agent", item, at)
        entry.text = (entry.text + text)[:WORDS_LIMIT] if text else entry.text
        if audio_ms and not entry.audio_ms:
            self._answer()
        entry.audio_ms += audio_ms
        late = entry.ended_at is not None
        if text and (late or (entry.heard and at - entry.put_at >= PROGRESS_S)):
            self._changed(entry, at)

    def agent_heard(self, item: str, at: float) -> None:
        """The caller hears the first sample of ``item``."""
        entry = self._items.get(item)
        if entry is not None:
            entry.started_at, entry.heard = at, True
            answered, self._unanswered = self._unanswered, None
            if answered is not None and answered.ended_at is not None:
                entry.latency_ms = round((at - answered.ended_at) * 1000)
                self._changed(answered)
            self._changed(entry, at)

    def agent_complete(self, item: str) -> None:
        """All audio of ``item`` has come."""
        entry = self._items.get(item)
        if entry is not None:
            entry.complete = True
            if entry.heard and entry.ended_at is None:
                self._changed(entry)

    def agent_held(self, item: str, heard_ms: int) -> None:
        """The caller has put us on hold after ``heard_ms`` of ``item``. A process that gets the
        call before the item is over cannot tell from the time how much of it was heard."""
        entry = self._items.get(item)
        if entry is not None and entry.ended_at is None:
            entry.held_ms = heard_ms
            self._changed(entry)

    def agent_goes_on(self, item: str, heard_ms: int, at: float) -> None:
        """The caller hears ``item`` again, of which ``heard_ms`` were heard before. From now on the
        time tells again how much was."""
        entry = self._items.get(item)
        if entry is not None and entry.ended_at is None and entry.held_ms is not None:
            entry.started_at, entry.held_ms = at - heard_ms / 1000, None
            self._changed(entry, at)

    def agent_ended(self, item: str, at: float, *, cut_ms: int | None = None) -> None:
        """``item`` was heard to its end, or was cut off when ``cut_ms`` of it were heard."""
        entry = self._items.get(item)
        if entry is not None and entry.ended_at is None:
            entry.ended_at, entry.heard_ms = at, cut_ms
            self._changed(entry)

    # --- functions --------------------------------------------------------------------------------

    def tool_began(self, call: ToolCall, at: float) -> None:
        """The model calls a function, or called it in another process."""
        self._tools_began[call.call_id] = call, at
        self._answer()

    def end_tools(self, output: str, at: float, *, kept: str = "") -> None:
        """The functions that have no result yet have this one; not that with call_id ``kept``."""
        for call, _ in list(self._tools_began.values()):
            if call.call_id != kept:
                self.tool_ended(call, output, at)

    def tool_ended(self, call: ToolCall, output: str, at: float) -> None:
        """The function has its result."""
        _, began = self._tools_began.pop(call.call_id, (call, at))
        arguments = call.arguments if len(call.arguments) <= ARGUMENTS_LIMIT else "{}"
        self._append(Called(call.call_id, call.name, arguments, output))
        took_ms = round((at - began) * 1000)
        used = ToolUsed(self._uuid, call.call_id, call.name, call.arguments, output, began, took_ms)
        self._put(used)

    # --- for a new connection ---------------------------------------------------------------------

    def history(self) -> History:
        """What was said and done, oldest first; of the agent's words, those that were heard or are
        about to be. Of a turn of the caller without known words, that there was one."""
        history: list[Said | Called] = []
        for entry in self._entries[-HISTORY:]:
            if isinstance(entry, Called):
                history.append(entry)
            elif text := entry.heard_text.strip():
                history.append(Said(entry.who, text))
            elif entry.who == "caller" and entry.ended_at is not None:
                history.append(Said("caller", WORDS_LOST))
        return history

    def _add(self, who: Literal["caller", "agent"], item: str, at: float) -> _Entry:
        self._count += 1
        entry = self._items[item] = _Entry(who, self._count, at, item)
        self._append(entry)
        return entry

    def _append(self, entry: _Entry | Called) -> None:
        """Add ``entry``, and forget what no new connection would be told."""
        self._entries.append(entry)
        if len(self._entries) > 2 * HISTORY:
            for old in self._entries[:HISTORY]:
                if isinstance(old, _Entry):
                    self._items.pop(old.item, None)
            del self._entries[:HISTORY]

    def _changed(self, entry: _Entry, at: float = 0.0) -> None:
        entry.put_at = at if entry.text else 0.0  # 0: the first words are put as they come
        self._put(
            Turn(
                self._uuid,
                entry.number,
                entry.who,
                entry.text,
                entry.heard_text,
                entry.started_at,
                entry.ended_at,
                entry.latency_ms,
                entry.held_ms if entry.ended_at is None else entry.heard_ms,
                round(entry.audio_ms) if entry.complete else None,
            )
        )


def _at(change: Turn | ToolUsed) -> float:
    return change.at if isinstance(change, ToolUsed) else change.started_at
