"""What was said, heard and done, for the record and the model."""

from __future__ import annotations

import pytest

from esl_controller.call.agent import Called, Said
from esl_controller.call.instructions import WORDS_LOST
from esl_controller.call.records import HISTORY, Claimed, ToolUsed, Turn
from esl_controller.call.transcript import Transcript
from esl_controller.store.records import Change
from tests.call.world import tool_call


class Book:
    """A transcript, and what it has put into the store."""

    def __init__(self, silence_ms: int = 0) -> None:
        self.changes: list[Change] = []
        self.transcript = Transcript("uuid", self.changes.append)
        self.transcript.silence_ms = silence_ms

    @property
    def turns(self) -> list[Turn]:
        """As a store keeps them: the last one put under a number."""
        turns = {change.number: change for change in self.changes if isinstance(change, Turn)}
        return [turns[number] for number in sorted(turns)]


def test_a_turn_and_its_answer() -> None:
    book = Book(silence_ms=500)
    transcript = book.transcript
    transcript.caller_began("u1", 10.0)
    transcript.caller_ended("u1", 12.5)
    transcript.agent_says("i1", 12.8, text="Good ", audio_ms=300)
    transcript.agent_heard("i1", 13.0)
    transcript.agent_says("i1", 13.1, text="day.", audio_ms=400)
    transcript.caller_said("u1", " Hello. ")
    transcript.agent_ended("i1", 14.0)
    assert book.turns == [
        Turn("uuid", 1, "caller", "Hello.", "Hello.", 10.0, 12.0),
        Turn("uuid", 2, "agent", "Good day.", "Good day.", 13.0, 14.0, latency_ms=1000),
    ]
    assert transcript.history() == [Said("caller", "Hello."), Said("agent", "Good day.")]


@pytest.mark.parametrize(
    ("heard_ms", "heard"),
    [(0, ""), (250, "One"), (500, "One two"), (999, "One two three"), (1000, "One two three four")],
)
def test_of_a_sentence_that_was_cut_off_only_what_was_heard_counts(
    heard_ms: int, heard: str
) -> None:
    book = Book()
    book.transcript.agent_says("i1", 1.0, text="One two three four", audio_ms=1000)
    book.transcript.agent_ended("i1", 2.0, cut_ms=heard_ms)
    (turn,) = book.turns
    assert (turn.text, turn.heard_text) == ("One two three four", heard)
    assert turn.interrupted_ms == heard_ms
    assert book.transcript.history() == ([Said("agent", heard)] if heard else [])


def test_a_sentence_ends_once_and_its_late_words_are_kept() -> None:
    book = Book()
    book.transcript.agent_says("i1", 1.0, text="Good", audio_ms=100)
    book.transcript.agent_ended("i1", 2.0)
    book.transcript.agent_ended("i1", 3.0, cut_ms=5)
    book.transcript.agent_says("i1", 3.0, text=" day.")
    (turn,) = book.turns
    assert (turn.text, turn.ended_at, turn.interrupted_ms) == ("Good day.", 2.0, None)
    book.transcript.agent_heard("unknown", 4.0)
    book.transcript.agent_ended("unknown", 4.0)
    assert len(book.turns) == 1


def test_a_cough_leaves_no_turn_and_no_latency() -> None:
    book = Book()
    book.transcript.caller_began("u1", 1.0)
    book.transcript.caller_ended("u1", 1.2)
    book.transcript.forget("u1")
    book.transcript.forget("u1")
    book.transcript.caller_said("u1", "[cough]")
    book.transcript.agent_says("i1", 9.0, text="Still there?", audio_ms=100)
    book.transcript.agent_heard("i1", 9.0)
    book.transcript.agent_ended("i1", 9.1)
    (turn,) = book.turns
    assert turn.who == "agent"
    assert turn.latency_ms is None
    assert book.transcript.history() == [Said("agent", "Still there?")]


def test_words_that_come_before_their_end_or_are_taken_back() -> None:
    book = Book()
    book.transcript.caller_began("u1", 1.0)
    book.transcript.caller_said("u1", "Well.")
    book.transcript.caller_ended("u1", 2.0)
    assert [turn.ended_at for turn in book.turns] == [2.0]
    book.transcript.forget("u1")
    assert book.transcript.history() == []


def test_after_a_new_park_the_time_tells_again_what_was_heard() -> None:
    book = Book()
    book.transcript.agent_says("i1", 1.0, text="Good morning.", audio_ms=3000)
    book.transcript.agent_heard("i1", 1.0)
    book.transcript.agent_held("i1", 800)
    assert book.turns[-1].interrupted_ms == 800
    book.transcript.agent_goes_on("i1", 800, 2.25)
    (turn,) = book.turns
    assert (turn.started_at, turn.interrupted_ms) == (1.45, None)
    book.transcript.agent_goes_on("i1", 900, 3.0)
    assert book.turns[-1].started_at == 1.45, "it was not held again"


def test_only_the_first_answer_has_a_latency() -> None:
    book = Book()
    book.transcript.caller_began("u1", 1.0)
    book.transcript.caller_ended("u1", 2.0)
    for item, at in (("i1", 2.5), ("i2", 5.0)):
        book.transcript.agent_says(item, at, text="Yes.", audio_ms=100)
        book.transcript.agent_heard(item, at)
        book.transcript.agent_ended(item, at + 1)
    assert [turn.latency_ms for turn in book.turns] == [None, 500, None]


def test_a_model_that_does_not_name_turns() -> None:
    book = Book()
    for at, words in ((1.0, "One."), (5.0, "Two.")):
        book.transcript.caller_began("", at)
        book.transcript.caller_ended("", at + 1)
        book.transcript.caller_said("", words)
    assert [(turn.text, turn.ended_at) for turn in book.turns] == [("One.", 2.0), ("Two.", 6.0)]
    Book().transcript.caller_ended("", 1.0)


def test_functions_are_recorded_and_told() -> None:
    book, call = Book(), tool_call("find", day="Monday")
    book.transcript.tool_began(call, 1.0)
    book.transcript.tool_ended(call, '{"free": true}', 1.25)
    (used,) = book.changes
    assert used == ToolUsed("uuid", "c1", "find", call.arguments, '{"free": true}', 1.0, 250)
    assert book.transcript.history() == [Called("c1", "find", call.arguments, '{"free": true}')]


def test_a_new_connection_is_told_of_the_last_things() -> None:
    transcript = Book().transcript
    for number in range(HISTORY + 5):
        transcript.caller_began(f"u{number}", float(number))
        transcript.caller_said(f"u{number}", str(number))
    history = transcript.history()
    assert len(history) == HISTORY
    assert history[-1] == Said("caller", str(HISTORY + 4))
    transcript.caller_began("silent", 1e6)
    assert history[-1] == transcript.history()[-1], "words that nobody knows are not told"


def test_words_are_written_down_while_they_are_said() -> None:
    book = Book()
    book.transcript.agent_says("a1", 1.0, audio_ms=100)
    book.transcript.agent_heard("a1", 1.1)
    book.transcript.agent_says("a1", 1.2, text="Hello, ")
    book.transcript.agent_says("a1", 1.3, text="this ")
    book.transcript.agent_says("a1", 2.3, text="is Ana.")
    assert [turn.text for turn in book.turns][-1] == "Hello, this is Ana."
    assert len([one for one in book.changes if isinstance(one, Turn)]) == 3


def test_another_process_knows_what_was_heard() -> None:
    claimed = Claimed(
        2,
        "",
        [
            Turn("u", 1, "agent", "Hello.", "Hello.", 1.0, 2.0),
            Turn("u", 2, "caller", "Book a table.", "Book a table.", 3.0, 4.0),
            Turn("u", 3, "agent", "one two three four", "", 6.0, audio_ms=2000),
        ],
        [ToolUsed("u", "c1", "find", "{}", "{}", 5.0, 10)],
    )
    book = Book()
    assert book.transcript.resume(claimed, lost_at=7.0)
    assert book.transcript.history() == [
        Said("agent", "Hello."),
        Said("caller", "Book a table."),
        Called("c1", "find", "{}", "{}"),
        Said("agent", "one two"),
    ]
    (cut,) = book.turns
    assert (cut.number, cut.ended_at, cut.interrupted_ms) == (3, 7.0, 1000)
    book.transcript.agent_says("a9", 8.0, text="And ")
    book.transcript.agent_heard("a9", 8.0)
    assert book.turns[-1].number > 20_000


def test_what_was_heard_to_its_end_was_not_cut() -> None:
    last = Turn("u", 1, "agent", "Hello.", "", 1.0, audio_ms=500)
    book = Book()
    assert not book.transcript.resume(Claimed(1, "", [last]), lost_at=1.6)
    assert book.transcript.history() == [Said("agent", "Hello.")]
    assert book.turns[-1].interrupted_ms is None


def test_of_a_sentence_in_a_hold_the_next_process_knows_what_was_heard() -> None:
    book = Book()
    book.transcript.agent_says("i1", 1.0, text="One two three four", audio_ms=1000)
    book.transcript.agent_heard("i1", 2.0)
    book.transcript.agent_complete("i1")
    book.transcript.agent_held("i1", 500)
    (turn,) = book.turns
    assert (turn.ended_at, turn.interrupted_ms) == (None, 500)
    after = Book()
    assert after.transcript.resume(Claimed(1, "", [turn]), lost_at=60.0), "it was cut off"
    assert after.transcript.history() == [Said("agent", "One two")]


def test_a_sentence_that_went_on_after_a_hold_was_heard_to_its_end() -> None:
    book = Book()
    book.transcript.agent_says("i1", 1.0, text="One two", audio_ms=1000)
    book.transcript.agent_heard("i1", 2.0)
    book.transcript.agent_held("i1", 500)
    book.transcript.agent_ended("i1", 60.0)
    (turn,) = book.turns
    assert (turn.heard_text, turn.interrupted_ms) == ("One two", None)


def says(book: Book, item: str, at: float, words: str = "Yes.") -> None:
    """The agent says something, of which the first second is heard."""
    book.transcript.agent_says(item, at, text=words, audio_ms=1000)
    book.transcript.agent_heard(item, at)


def turn(book: Book, item: str, at: float, words: str = "") -> None:
    """The caller says something, and the transcript comes at once, or not at all."""
    book.transcript.caller_began(item, at)
    book.transcript.caller_ended(item, at + 1)
    if words:
        book.transcript.caller_said(item, words)


LOST = Said("caller", WORDS_LOST)


def test_a_turn_whose_words_have_not_come_is_asked_for_unless_something_was_done_about_it() -> None:
    book, call = Book(), tool_call("find")
    assert not book.transcript.turn_unknown
    turn(book, "u1", 1.0)
    assert book.transcript.turn_unknown
    book.transcript.agent_says("i1", 3.0, text="We are")
    assert book.transcript.turn_unknown, "nothing of that can be heard"
    book.transcript.agent_says("i1", 3.1, audio_ms=20)
    assert not book.transcript.turn_unknown
    turn(book, "u2", 5.0)
    assert book.transcript.turn_unknown
    book.transcript.tool_began(call, 6.0)
    assert not book.transcript.turn_unknown
    book.transcript.caller_began("u3", 7.0)
    book.transcript.tool_ended(call, "{}", 8.0)
    says(book, "i2", 8.0)
    assert book.transcript.turn_unknown, (
        "the caller is still speaking: that was about the one before"
    )
    book.transcript.model_gone(8.5)
    assert book.transcript.turn_unknown
    says(book, "i3", 9.0, "What was it?")
    assert not book.transcript.turn_unknown, "it was asked for"
    assert [one.ended_at for one in book.turns if one.who == "caller"] == [6.0, 8.5]
    turn(book, "u4", 10.0, "Nothing.")
    assert not book.transcript.turn_unknown


def test_what_goes_on_of_a_reply_is_no_answer_to_the_caller_who_speaks_into_it() -> None:
    book = Book()
    says(book, "i1", 1.0)
    turn(book, "u1", 2.0)
    book.transcript.agent_says("i1", 2.5, text=" More.", audio_ms=100)
    assert book.transcript.turn_unknown


def test_a_new_connection_knows_of_turns_whose_words_nobody_has() -> None:
    book, call = Book(), tool_call("find")
    says(book, "i1", 1.0, "Hello.")
    turn(book, "u1", 2.0)
    says(book, "i2", 4.0, "We are open")
    assert book.transcript.history() == [
        Said("agent", "Hello."),
        LOST,
        Said("agent", "We are open"),
    ]
    book.transcript.caller_said("u1", "When are you open?")
    turn(book, "u2", 6.0)
    book.transcript.tool_began(call, 7.0)
    assert book.transcript.history()[1:] == [
        Said("caller", "When are you open?"),
        Said("agent", "We are open"),
        LOST,
    ]
    book.transcript.tool_ended(call, "{}", 8.0)
    assert book.transcript.history()[3:] == [LOST, Called("c1", "find", "{}", "{}")]


def test_another_process_knows_of_them_too() -> None:
    said = [
        Turn("u", 1, "caller", "", "", 1.0, 2.0),
        Turn("u", 2, "agent", "Yes.", "Yes.", 3.0, 4.0),
    ]
    book = Book()
    book.transcript.resume(Claimed(1, "", said), lost_at=5.0)
    assert book.transcript.history() == [LOST, Said("agent", "Yes.")]
    assert not book.transcript.turn_unknown
