"""The state of a conversation, and its way from one process to the next. [core]

A conversation consists of four parts. ``ConversationState`` answers what only several of them
know, takes the snapshot of them, and restores them from it in another process. Then it also says
what comes first: a caller must neither be left without an answer nor hear one twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from esl_controller.call.actions import Actions
from esl_controller.call.ending import Ending
from esl_controller.call.instructions import ANSWER_NOW, ASK_AGAIN, CONTINUE, caller_returned
from esl_controller.call.replies import ReplyKind, Waiting
from esl_controller.call.snapshot import Resumption, Snapshot
from esl_controller.call.timers import Timers
from esl_controller.call.tool_calls import ToolExecutor
from esl_controller.call.turn_taking import TurnTaking


@dataclass(frozen=True)
class ConversationState:
    """The four parts of one conversation."""

    turns: TurnTaking
    tools: ToolExecutor
    timers: Timers
    ending: Ending

    def describe(self) -> str:
        """Where the conversation is, in words for ``Call.describe``."""
        parts = {
            "floor": self.turns.describe(),
            "reply": self.turns.replies.describe(),
            "waits": self.tools.describe(),
            "leaves": self.ending.exit_name,
        }
        return "; ".join(f"{name}: {value}" for name, value in parts.items() if value)

    @property
    def idle(self) -> bool:
        """Whether nobody speaks and nothing is waited for."""
        return self.turns.nobody_speaks and not (self.tools.busy or self.ending.decided)

    @property
    def waiting(self) -> Waiting:
        """What the caller waits for."""
        if self.turns.caller_has_floor or self.tools.music_playing:
            return Waiting.NOTHING
        return self.turns.waiting

    def may_request(self, kind: ReplyKind) -> bool:
        """Whether the model may speak now. While the caller is on hold or types digits, only last
        words may be said."""
        waits = self.tools.hold or self.tools.collection
        return self.turns.may_request(kind) and (kind is ReplyKind.LAST_WORDS or not waits)

    def interrupt(self) -> Actions:
        """Fall silent, and end a hold that the model asked for: the caller has something to say."""
        return [*self.turns.interrupt(), *self.tools.end_hold("the caller interrupted")]

    def snapshot(self) -> Snapshot:
        """What another process must know to go on from here."""
        hold, exit_call = self.tools.hold, self.ending.tool_call
        return Snapshot(
            ends_at=self.timers.limit_at,
            greeted=self.turns.greeted,
            turns=self.timers.turns,
            prompts=self.timers.prompts,
            owes=self.turns.replies.answer_due,
            speaks=self.turns.caller_has_floor,
            leaving=self.ending.exit_name,
            goodbye=self.turns.replies.unheard_last_words,
            leaving_call=exit_call.call_id if exit_call else "",
            hold=hold.call.call_id if hold else "",
            held_until=hold.ends if hold else 0.0,
            pending=(*self.tools.pending, *([exit_call] if exit_call else [])),
            returns=self.ending.returns,
        )

    def restore(self, resumption: Resumption, now: float) -> Actions:
        """Set up the parts from a snapshot, and schedule what is to be said first: the rest of what
        was cut off, the last words, an answer; or nothing, if nobody was waiting for anything."""
        snapshot = resumption.snapshot
        self.turns.greeted = True
        self.timers.resume(now, snapshot)
        actions = [*self.tools.resume(snapshot), *self.ending.resume(resumption)]
        if snapshot.leaving:
            self.tools.reply_due = False
            self.timers.last_words(now)
            if words := CONTINUE if resumption.cut else snapshot.goodbye:
                self.turns.schedule(ReplyKind.LAST_WORDS, words)
        elif snapshot.back_from:
            words = caller_returned(
                snapshot.back_from, resumption.unreached, instead=resumption.instead
            )
            self.turns.schedule(ReplyKind.ANSWER, words)
        elif words := _unanswered(resumption):
            self.turns.schedule(ReplyKind.ANSWER, words)
            self.tools.reply_due = False  # the same reply covers the results of functions
        return actions


def _unanswered(resumption: Resumption) -> str:
    """The instructions for what the caller is waiting to hear; "" if that is nothing."""
    if resumption.cut:
        return CONTINUE
    snapshot = resumption.snapshot
    if snapshot.speaks or (snapshot.owes and resumption.words_unknown):
        return ASK_AGAIN
    return ANSWER_NOW if snapshot.owes else ""
