"""Who has the floor: the caller, or the agent with one reply at a time. [core]

The model reports when the caller begins and stops to speak, often wrongly: a cough, a noise and our
own echo all look like speech. ``TurnTaking`` knows what the caller hears of us (the items in the
playout), what will come (``replies.py``) and what the caller does, and says who may speak.

A sound while nobody else speaks is a turn: the caller has the floor until it stops, and then gets
an answer. A sound while we speak may be an interruption. ``Interruption`` pauses our speech at once
(nothing is lost by that) and has the sound checked. If it is speech, the floor is the caller's: our
speech is dropped, the reply cancelled, and the model told how much of it was heard. If not, our
speech goes on from the same sample, the model forgets the sound, and for the rest of that reply
nothing pauses it before it is confirmed as speech: an echo that was taken for speech once will be
again.

A machine's tone is no turn: it gives the floor back, and the model forgets it.

A model that takes turns itself (``Agent.takes_turns``) answers and falls silent without being
asked. Then only the bookkeeping is left to do here. The next model of the same call may be of the
other kind.
"""

from __future__ import annotations

from collections.abc import Callable

from esl_controller.call.actions import (
    Actions,
    CheckSpeech,
    ForgetItem,
    Interrupt,
    Pause,
    StopCheck,
    Unpause,
)
from esl_controller.call.agent_events import ReplyRefused, ResponseDone
from esl_controller.call.instructions import ANSWER_NOW, ASK_AGAIN
from esl_controller.call.replies import Replies, Reply, ReplyKind, Waiting
from esl_controller.call.reply_failures import ReplyFailures

LAST_WORDS_TRIES = 3  # some models call a function again in place of the last words


class Interruption:
    """A sound of the caller while we speak, until it is known what it is.

    ``caller_speaks``: the caller has the floor, by an interruption or otherwise. ``paused``: our
    speech waits for the verdict. ``tone``: what had the floor is a tone by now.
    """

    def __init__(self) -> None:
        self.caller_speaks = False
        self.paused = False
        self.tone = False
        self._words = False  # before that tone
        self._checking = False
        self._false_alarm = False  # in this reply

    def reply_started(self) -> None:
        """A new reply begins: sounds may pause it again, whatever they were in the last one."""
        self._false_alarm = False

    def sound_started(self, *, pause: bool) -> Actions:
        """The caller makes a sound while we speak; ``pause``: it may interrupt us."""
        if self._checking:
            return []
        self._checking = True
        if self._false_alarm or not pause:
            return [CheckSpeech()]
        self.paused = True
        return [Pause(), CheckSpeech()]

    def speech_confirmed(self) -> bool:
        """The sound is speech. Returns whether that is news."""
        news = (self._checking or self.tone) and not self.caller_speaks
        self.caller_speaks = self.caller_speaks or news
        self.tone = self.tone and not news
        return news

    def tone_heard(self, *, alone: bool) -> bool:
        """The sound is a tone. Returns whether it had the floor. One that is being checked will be
        found to be no speech."""
        if self._checking:
            return False
        had_floor, self.caller_speaks = self.caller_speaks, False
        self.tone, self._words = True, had_floor and not alone
        return had_floor

    @property
    def caller_spoke(self) -> bool:
        """Whether the caller has said something in what the model takes for speech."""
        return self.caller_speaks or (self.tone and self._words)

    def speech_doubted(self) -> Actions:
        """The sound is not speech, so far."""
        if not self._checking or self.caller_speaks:
            return []
        self._false_alarm = True
        return self._unpause()

    def sound_stopped(self, item: str) -> Actions:
        """The caller is silent again. If the sound was not confirmed as speech, the model is to
        forget it; ``item`` is its name for it, or ""."""
        if not self._checking:
            nothing = self.tone and not self._words
            self.caller_speaks = self.tone = False
            return [ForgetItem(item)] if nothing and item else []
        noise = not self.caller_speaks
        self._false_alarm = self._false_alarm or noise
        return [*self.reset(), *([ForgetItem(item)] if noise and item else [])]

    def speech_dropped(self) -> None:
        """Our speech is gone from the playout: nothing is left to be unpaused."""
        self.paused = False

    def drop_check(self) -> Actions:
        """No more of a sound that was being checked will be heard. A caller who has the floor keeps
        it: the model has not yet heard the end of that turn."""
        return self.reset() if self._checking and not self.caller_speaks else []

    def reset(self) -> Actions:
        """Ignore what the caller is doing: nobody has the floor."""
        stop: Actions = [StopCheck()] if self._checking else []
        self.caller_speaks = self._checking = False
        return [*stop, *self._unpause()]

    def _unpause(self) -> Actions:
        unpause: Actions = [Unpause()] if self.paused else []
        self.paused = False
        return unpause


class TurnTaking:
    """The floor of one conversation.

    ``manual``: we request each reply; otherwise the model takes turns itself, which is known once
    there is a model. ``during_greeting``:
    the caller may interrupt the greeting. ``greeted``: the greeting was heard, or the caller had
    something better to say. ``must_warn``: the caller is to be warned of the end even while they
    speak.
    """

    def __init__(self, *, during_greeting: bool) -> None:
        self.manual = True
        self.greeted = False
        self.failures = ReplyFailures()
        self.must_warn = False
        self.replies = Replies()
        self.interruption = Interruption()
        self._during_greeting = during_greeting
        self._items: set[str] = set()  # of the model, in the playout
        self._warning: set[str] = set()  # those that warn of the end
        self._wordless = 0  # last words in a row without a word

    def describe(self) -> str:
        """Who has the floor, for ``Call.describe``; "caller?" while a sound is being checked."""
        if self.interruption.caller_speaks:
            return "caller"
        if self.interruption.paused:
            return "caller?"
        return "agent" if self._items else "nobody"

    @property
    def agent_audible(self) -> bool:
        """Whether the caller hears the model, or will in a moment."""
        return bool(self._items)

    @property
    def agent_finished(self) -> bool:
        """Whether the caller has heard all that the model has to say."""
        return self.replies.quiet and not self._items

    @property
    def nobody_speaks(self) -> bool:
        """Whether neither side speaks or is about to."""
        return self.agent_finished and not self.caller_has_floor

    @property
    def caller_has_floor(self) -> bool:
        """Whether the caller speaks, or may turn out to."""
        return self.interruption.caller_speaks or self.interruption.paused

    @property
    def agent_replying(self) -> bool:
        """Whether the agent is in a reply, so that a sound of the caller may be an interruption."""
        return self.replies.in_flight or bool(self._items)

    @property
    def interruptible(self) -> bool:
        """Whether the caller may interrupt us now."""
        return (self.greeted or self._during_greeting) and not self.warning

    @property
    def warning(self) -> bool:
        """Whether the caller is being told that the call has to end soon, or will be in a moment.
        They may speak over that, and it is said to its end."""
        return self.replies.kind is ReplyKind.WARNING or not self._warning.isdisjoint(self._items)

    @property
    def waiting(self) -> Waiting:
        """What the caller waits for."""
        if self.failures.any and not (self.replies.quiet or self._items):
            return Waiting.THE_MODEL
        return self.replies.waiting

    @property
    def asked_again_at(self) -> float | None:
        """When a reply that failed is to be asked for again."""
        return self.failures.not_before or None

    # --- the model --------------------------------------------------------------------------------

    def schedule(self, kind: ReplyKind, instructions: str = "") -> None:
        """Have the model speak. One that takes turns itself is only sent ``instructions``: the rest
        it says without being asked."""
        if self.manual or instructions:
            self.replies.schedule(kind, instructions)
        else:
            self.replies.expected = True

    def may_request(self, kind: ReplyKind) -> bool:
        """Whether the floor is free for a reply of that kind."""
        if kind is ReplyKind.LAST_WORDS:
            return True
        if kind is ReplyKind.WARNING and self.must_warn:
            return not self._items
        return not self.caller_has_floor and (kind < ReplyKind.NOTICE or not self._items)

    def request_next(self, may_request: Callable[[ReplyKind], bool], now: float) -> Actions:
        """Request the most urgent reply, if it may be said now."""
        return self.replies.request_next(may_request) if self.failures.may_ask(now) else []

    def response_done(self, event: ResponseDone, now: float) -> bool:
        """A response is over; if it failed, or brought no last words, the reply is tried again.
        Returns whether it had been cancelled, even if too late."""
        cancelled = self.replies.is_cancelled(event.id)
        again = self.replies.response_done(event.id)
        if event.status == "failed" or (again is not None and self._withheld(again, event)):
            self._failed(again, event, now)
        else:
            self.failures.succeeded()
        if event.status == "completed" and again and again.kind is ReplyKind.LAST_WORDS:
            self._wordless += 1
            if self._wordless < LAST_WORDS_TRIES:
                self.schedule(*again)
        return cancelled

    def reply_refused(self, event: ReplyRefused, now: float) -> None:
        """The model will not begin a reply now."""
        self._failed(self.replies.refused(), event, now)

    def _withheld(self, reply: Reply, event: ResponseDone) -> bool:
        """Whether a model that takes turns itself was told to say what the caller waits for, and
        did not."""
        waits = reply.kind <= ReplyKind.ANSWER and not self.replies.has_audio
        return waits and not self.manual and event.status == "incomplete"

    def _failed(self, again: Reply | None, why: ResponseDone | ReplyRefused, now: float) -> None:
        if again is not None:
            self.schedule(*again)
        self.failures.failed(why.recovery, why.after_s, now)

    def model_gone(self, *, leaving: bool, for_good: bool) -> Actions:
        """The connection to the model is gone. The reply in flight will not come, or not to its
        end: it is scheduled again for the next connection. What has come of it is heard."""
        again = self.replies.end()
        if not self.manual and again == Reply(ReplyKind.ANSWER):
            again = None  # begun by itself, perhaps without anybody waiting for it
        if self.replies.expected and not leaving:
            again = Reply(ReplyKind.ANSWER, ANSWER_NOW)
        self.replies.expected = False
        if again is not None:
            self.schedule(*again)
        if for_good:
            self.replies.discard()
        self.failures.reconnected()
        self.interruption.tone = False
        return self.interruption.reset()

    def model_connected(self, *, takes_turns: bool) -> None:
        """There is a connection, which knows what was said before. What is due from a model that
        takes turns itself, and what was due from one before it, is asked for in words: it would
        only answer to what it hears from now on."""
        self.manual = not takes_turns
        if self.replies.expected:
            self.ask_for_answer()
        if takes_turns:
            self.replies.put_into_words(ReplyKind.ANSWER, ANSWER_NOW)

    def ask_for_answer(self) -> None:
        """Ask in words for the answer that was expected without being asked for."""
        self.replies.expected = False
        self.schedule(ReplyKind.ANSWER, ANSWER_NOW)

    def turn_lost(self) -> None:
        """The new connection knows nothing of what the caller said last."""
        self.schedule(ReplyKind.ANSWER, ASK_AGAIN)

    # --- the caller -------------------------------------------------------------------------------

    def sound_started(self) -> Actions:
        """The caller makes a sound."""
        if self.agent_replying and self.manual:
            return self.interruption.sound_started(pause=self.interruptible)
        # A model that takes turns itself falls silent by itself.
        self.interruption.caller_speaks = True
        return []

    def interrupt(self) -> Actions:
        """Fall silent, cancel the reply, and let the model know what was heard."""
        self.playout_dropped()
        self.replies.audio_heard()
        self._items.clear()
        self.greeted = True
        self.replies.discard(ReplyKind.ANSWER, ReplyKind.NOTICE, ReplyKind.PROMPT)
        return [Interrupt(), *self.replies.cancel()]

    # --- the playout ------------------------------------------------------------------------------

    def playout_dropped(self) -> None:
        """What was in the playout is gone."""
        self.interruption.speech_dropped()

    def item_queued(self, item: str) -> None:
        """An item of the model is in the playout."""
        self._items.add(item)
        if self.replies.kind is ReplyKind.WARNING:
            self._warning.add(item)
        self._wordless = 0
        self.replies.audio_started()

    def item_started(self, item: str) -> None:
        """The caller hears the first sample of an item."""
        if item in self._items:
            self.replies.audio_heard()

    def item_finished(self, item: str) -> None:
        """An item was heard to its end, or dropped. Items that the model did not queue are music or
        our own sentences."""
        if item in self._items:
            self.replies.audio_heard()
            self._items.discard(item)
            self.greeted = self.greeted or not self._items
