"""The states of a call, without a loop; what is said in it is tested in test_conversation.py."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.actions import (
    Actions,
    Answer,
    Close,
    ConnectAgent,
    Hangup,
    HearByLane,
    Note,
    OpenLane,
    PlayFiles,
    PlaySentence,
    StartRecording,
    StartStream,
)
from esl_controller.call.agent_events import (
    AgentFailed,
    AgentReady,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.media_path import LANE_CLOSED_S, STREAM_BACK_S
from esl_controller.call.states import APOLOGY_S, State
from esl_controller.secretaries.schema import Destination
from tests.call.parts import BEGIN, FAILURE, GONE, LIMIT, Playback, a_call, run, talking
from tests.call.world import SALES, tool_call

# --- the way to the conversation ------------------------------------------------------------------


def test_everything_starts_side_by_side() -> None:
    call = a_call()
    assert run(call, ev.Arrived(answered=False)) == [LIMIT, ConnectAgent(), Answer()]
    assert run(call, ev.Answered()) == [StartStream(), OpenLane()]
    assert run(call, ev.StreamOpened(), AgentReady()) == []
    assert run(call, ev.LaneOpened(8000)) == BEGIN
    assert call.state is State.TALKING


def test_greets_whichever_comes_last() -> None:
    call = a_call()
    run(call, ev.Arrived(False), AgentReady(), ev.Answered())
    assert run(call, ev.LaneOpened(8000)) == BEGIN


def test_an_answered_call_is_not_answered_again() -> None:
    # The module had the call before, and must stop before it can start.
    assert run(a_call(), ev.Arrived(answered=True)) == [
        LIMIT,
        ConnectAgent(),
        StartStream(again=True),
        OpenLane(),
    ]


def test_a_codec_that_is_not_known_yet_is_waited_for() -> None:
    call = a_call()
    assert run(call, ev.Arrived(answered=False, codec_known=False)) == [LIMIT, Answer()]
    assert run(call, ev.Answered("PCMU", 8000)) == [ConnectAgent(), StartStream(), OpenLane()]


def test_files_when_asked_for_and_when_no_lane_opens() -> None:
    call = a_call("file")
    run(call, ev.Arrived(False))
    assert run(call, ev.Answered()) == [StartStream(), PlayFiles()]
    assert run(call, AgentReady(), ev.FilesReady()) == BEGIN

    call = a_call("lane")
    run(call, ev.Arrived(False), ev.Answered(), AgentReady())
    assert run(call, ev.LaneFailed("busy")) == [PlayFiles()]
    assert run(call, ev.FilesReady()) == BEGIN


def test_a_lane_lost_in_the_call_is_opened_in_a_new_park_or_replaced_by_files() -> None:
    call = talking()
    assert call.handle(ev.LaneFailed("closed"), 5.0) == []  # perhaps it is the hangup
    assert call.next_deadline() == 5.0 + LANE_CLOSED_S
    assert run(call, ev.TimeUp(), now=5.0 + LANE_CLOSED_S) == [do.NewPark(1)]
    assert run(call, ev.ParkFailed("no")) == [PlayFiles()]
    assert run(call, ev.FilesReady()) == []
    assert call.state is State.TALKING
    assert call.speaking_by == "file"


def test_a_call_goes_on_in_its_new_park_where_it_was() -> None:
    call = talking()
    run(call, ev.CodecChanged(other=True), now=5.0)
    assert call.awaited_park == 0
    assert run(call, ev.TimeUp(), now=5.0) == [do.NewPark(1)]
    assert call.awaited_park == 1
    assert run(call, ev.Parked(held=False), now=5.1) == [StartStream(again=True), OpenLane()]
    assert call.awaited_park == 0
    assert run(call, ev.StreamOpened(), ev.LaneOpened(16000), now=5.2) == [], "nothing is asked"
    assert call.state is State.TALKING
    assert (call.hearing, call.speaking_by) == ("stream", "lane")


def test_a_hold_that_began_or_ended_on_the_way_into_a_new_park() -> None:
    call = talking()
    run(call, ev.CodecChanged(other=True), ev.TimeUp(), now=5.0)
    assert do.HoldSpeech() in run(call, ev.Parked(held=True), now=5.1)
    assert call.conversation.held
    call = talking()
    run(call, ev.CodecChanged(other=True), ev.TimeUp(), ev.Held(), now=5.0)
    assert call.conversation.held
    assert do.ReleaseSpeech() in run(call, ev.Parked(held=False), now=5.1)
    assert not call.conversation.held


def test_a_call_that_ends_waits_for_no_park() -> None:
    call = talking()
    run(call, ev.CodecChanged(other=True), ev.TimeUp(), now=5.0)
    run(call, ev.HungUp("NORMAL_CLEARING"))
    assert call.awaited_park == 0
    assert run(call, ev.Parked(held=False)) == []


def test_no_way_to_speak_ends_the_call() -> None:
    call = a_call()
    run(call, ev.Arrived(False), ev.Answered(), AgentReady(), ev.LaneFailed("x"))
    assert run(call, ev.FilesFailed("y")) == [Hangup("NORMAL_TEMPORARY_FAILURE")]


def test_a_missing_module_is_replaced_by_the_lane() -> None:
    call = a_call()
    run(call, ev.Arrived(False), ev.Answered(), AgentReady())
    assert run(call, ev.StreamFailed("no module", missing=True)) == []
    assert run(call, ev.LaneOpened(8000)) == [HearByLane(), *BEGIN]
    assert call.hearing == "lane"

    call = talking()
    run(call, ev.StreamClosed(1006))
    assert run(call, ev.StreamFailed("no module", missing=True)) == [HearByLane()]


def test_a_refused_stream_is_tried_again_and_then_replaced() -> None:
    call = a_call()
    run(call, ev.Arrived(False), ev.Answered(), AgentReady(), ev.LaneOpened(8000))
    failed = ev.StreamFailed("refused")
    # The lane is there: nobody waits for the stream to be heard.
    assert run(call, failed) == [StartStream(again=True), HearByLane()]
    assert run(call, failed) == [StartStream(again=True)]
    assert run(call, failed) == []
    assert call.hearing == "lane"


def test_a_stream_that_comes_back_replaces_the_lane() -> None:
    call = talking()
    assert run(call, ev.StreamClosed(1006), ev.StreamFailed("x", missing=True)) == [HearByLane()]
    run(call, ev.StreamOpened())
    assert call.hearing == "stream"


def test_a_closed_stream_gets_its_time_to_come_back() -> None:
    call = talking()
    run(call, ResponseStarted("r1"), ev.ItemQueued("i1"))
    assert call.handle(ev.StreamClosed(1001), 5.0) == []
    assert call.next_deadline() == 5.0 + STREAM_BACK_S
    run(call, ev.StreamOpened(), now=5.02)
    assert call.next_deadline() == 3570.0, "the warning before the limit"

    call.handle(ev.StreamClosed(1001), 6.0)
    assert run(call, ev.TimeUp(), now=6.0) == []
    assert run(call, ev.TimeUp(), now=6.0 + STREAM_BACK_S) == [StartStream(again=True)]


def test_neither_stream_nor_lane_is_an_apology() -> None:
    call = talking("file")
    run(call, ev.StreamClosed(1006))
    assert run(call, ev.StreamFailed("x", missing=True)) == [PlaySentence("sorry")]
    assert call.state is State.CLOSING


# --- the way out ----------------------------------------------------------------------------------


def test_the_switch_is_told_to_end_what_we_forget_and_to_record() -> None:
    call = a_call(record=True)
    run(call, ev.Arrived(False))
    assert run(call, ev.Answered()) == [StartStream(), OpenLane(), StartRecording()]


def test_the_apology_has_a_hard_cap() -> None:
    call = talking()
    run(call, GONE, now=1.0)
    deadline = call.next_deadline()
    assert deadline == 1.0 + APOLOGY_S
    assert run(call, ev.TimeUp(), now=deadline) == [Hangup(FAILURE)]


def test_a_hangup_that_the_switch_ignores_ends_anyway() -> None:
    call = talking()
    run(call, GONE, ev.ItemFinished("sorry", 1))
    deadline = call.next_deadline()
    assert deadline is not None
    assert run(call, ev.TimeUp(), now=deadline) == [Close()]


def test_who_never_answers_is_let_go() -> None:
    call = a_call()
    run(call, ev.Arrived(False))
    deadline = call.next_deadline()
    assert deadline is not None
    assert run(call, ev.TimeUp(), now=deadline) == [Hangup("NORMAL_TEMPORARY_FAILURE")]
    call = a_call()
    run(call, ev.Arrived(False))
    assert run(call, ev.AnswerFailed("-ERR")) == [Hangup("NORMAL_TEMPORARY_FAILURE")]


def test_shutting_down_lets_go_without_ending_the_call() -> None:
    assert run(talking(), ev.ShutDown()) == [Close()]


def test_a_failed_response_is_noted() -> None:
    call = talking()
    assert call.handle(ResponseDone("r1", "completed"), 0) == []
    (note,) = call.handle(ResponseDone("r1", "failed", "overloaded"), 0)
    assert note == Note("the model failed to reply", "overloaded")


# --- any order ------------------------------------------------------------------------------------


def _events() -> st.SearchStrategy[ev.Event]:
    text = st.sampled_from(["", "why"])
    items = st.sampled_from(["sorry", "moment", "item_1"])
    ids = st.sampled_from(["r1", "r2"])
    functions = ("end_call", "transfer_call", "hold", "collect_digits", "find", "unknown")
    calls = st.builds(tool_call, st.sampled_from(functions), st.sampled_from(["c1", "c2"]))
    status = st.sampled_from(["completed", "cancelled", "failed", "incomplete"])
    done = st.builds(ResponseDone, ids, status, calls=st.lists(calls, max_size=2).map(tuple))
    return st.one_of(
        st.builds(ev.Arrived, st.booleans(), st.booleans(), st.booleans()),
        st.just(ev.Answered()),
        st.builds(ev.AnswerFailed, text),
        st.builds(ev.HungUp, text),
        st.builds(ev.SwitchLost, text),
        st.just(ev.Held()),
        st.just(ev.Unheld()),
        st.builds(ev.CodecChanged, st.booleans()),
        st.builds(ev.ParkFailed, text),
        st.just(ev.StreamOpened()),
        st.builds(ev.StreamClosed, st.just(1006)),
        st.builds(ev.StreamFailed, text, st.booleans()),
        st.builds(ev.LaneOpened, st.just(8000)),
        st.builds(ev.LaneFailed, text),
        st.just(ev.FilesReady()),
        st.builds(ev.FilesFailed, text),
        st.builds(ev.ItemQueued, items),
        st.builds(ev.ItemStarted, items),
        st.builds(ev.ItemFinished, items, st.just(10)),
        st.just(AgentReady()),
        st.builds(AgentFailed, text, st.booleans()),
        st.builds(SpeechStarted, st.just(0)),
        st.builds(SpeechStopped, st.just(0), st.sampled_from(["", "u1"])),
        st.just(ev.SpeechConfirmed()),
        st.just(ev.SpeechDoubted()),
        st.builds(ev.Dtmf, st.sampled_from("12#")),
        st.builds(ResponseStarted, ids),
        done,
        st.builds(ev.WebhookDone, st.sampled_from(["c1", "c2"]), st.just("{}")),
        st.just(ev.Transferred()),
        st.builds(ev.TransferFailed, text),
        st.just(ev.TimeUp()),
        st.just(ev.ShutDown()),
    )


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(["lane", "file"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, SALES]),
    st.lists(st.tuples(_events(), st.floats(0, 5)), max_size=60),
)
def test_no_order_of_events_breaks_a_call(
    playback: Playback,
    codec_known: bool,
    held: bool,
    begun: bool,
    fallback: Destination | None,
    script: list[tuple[ev.Event, float]],
) -> None:
    """Not even one that no switch and no model would send."""
    call, now = a_call(playback, fallback=fallback), 0.0
    done: Actions = []
    way: ev.Event = ev.LaneOpened(8000) if playback == "lane" else ev.FilesReady()
    beginning: list[ev.Event] = [ev.Arrived(held, codec_known, held)]
    beginning += [ev.Answered(), ev.StreamOpened(), way, AgentReady()] if begun else []
    for event, step in [*((event, 0.0) for event in beginning), *script]:
        now += step
        over = call.state in (State.HANGING_UP, State.ENDED)
        actions = call.handle(event, now)
        done += actions
        if over:
            assert all(isinstance(a, Close) for a in actions), "spoke after hanging up"
        if any(isinstance(a, HearByLane | PlaySentence) for a in actions):
            assert call.speaking_by != "no", "there is no way"
    # It is never stuck: left alone, its own deadlines end it.
    at_once = 0
    while (deadline := call.next_deadline()) is not None:
        at_once = at_once + 1 if deadline <= now else 0
        assert at_once < 20, "a deadline that never passes"
        now = max(now, deadline)
        done += call.handle(ev.TimeUp(), now)
    assert call.state is State.ENDED
    assert sum(isinstance(a, Hangup) for a in done) <= 1, "hung up twice"
    assert sum(isinstance(a, Close) for a in done) == 1
    assert sum(a == PlaySentence("sorry") for a in done) <= 1
    assert isinstance(done[-1], Close)
    for event, _ in script:
        assert call.handle(event, now) == []
