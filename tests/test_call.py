"""The decisions of a call, without a loop."""

from __future__ import annotations

from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from esl_controller import events as ev
from esl_controller.actions import (
    Actions,
    Answer,
    Close,
    ConnectAgent,
    Greet,
    Hangup,
    HearLane,
    Interrupt,
    Note,
    OpenLane,
    PlayFiles,
    Say,
    StartStream,
)
from esl_controller.call import LANE_LOST_S, STREAM_BACK_S, Call, State

Playback = Literal["lane", "file"]


def run(call: Call, *events: ev.Event, now: float = 0.0) -> Actions:
    """Actions of all events, without the notes."""
    done: Actions = []
    for event in events:
        done += [a for a in call.handle(event, now) if not isinstance(a, Note)]
    return done


def talking(playback: Playback = "lane") -> Call:
    call = Call(playback)
    way: ev.Event = ev.LaneOpened(8000) if playback == "lane" else ev.FilesReady()
    run(call, ev.Arrived(False), ev.Answered(), ev.StreamOpened(), way, ev.AgentReady())
    assert call.state is State.TALKING
    return call


def test_everything_starts_side_by_side() -> None:
    call = Call()
    assert run(call, ev.Arrived(answered=False)) == [ConnectAgent(), Answer()]
    assert run(call, ev.Answered()) == [StartStream(), OpenLane()]
    assert run(call, ev.StreamOpened(), ev.AgentReady()) == []
    assert run(call, ev.LaneOpened(8000)) == [Greet()]
    assert call.state is State.TALKING


def test_greets_whichever_comes_last() -> None:
    call = Call()
    run(call, ev.Arrived(False), ev.AgentReady(), ev.Answered())
    assert run(call, ev.LaneOpened(8000)) == [Greet()]


def test_an_answered_call_is_not_answered_again() -> None:
    # The module had the call before, and must stop before it can start.
    assert run(Call(), ev.Arrived(answered=True)) == [
        ConnectAgent(),
        StartStream(again=True),
        OpenLane(),
    ]


def test_a_codec_that_is_not_known_yet_is_waited_for() -> None:
    call = Call()
    assert run(call, ev.Arrived(answered=False, codec_known=False)) == [Answer()]
    assert run(call, ev.Answered("PCMU", 8000)) == [ConnectAgent(), StartStream(), OpenLane()]


def test_files_when_asked_for_and_when_no_lane_opens() -> None:
    call = Call("file")
    run(call, ev.Arrived(False))
    assert run(call, ev.Answered()) == [StartStream(), PlayFiles()]
    assert run(call, ev.AgentReady(), ev.FilesReady()) == [Greet()]

    call = Call("lane")
    run(call, ev.Arrived(False), ev.Answered(), ev.AgentReady())
    assert run(call, ev.LaneFailed("busy")) == [PlayFiles()]
    assert run(call, ev.FilesReady()) == [Greet()]


def test_a_lane_lost_in_the_call_is_replaced_by_files() -> None:
    call = talking()
    assert call.handle(ev.LaneFailed("closed"), 5.0) == []  # perhaps it is the hangup
    assert call.next_deadline() == 5.0 + LANE_LOST_S
    assert run(call, ev.TimeUp(), now=5.0 + LANE_LOST_S) == [PlayFiles()]
    assert run(call, ev.FilesReady()) == []
    assert call.state is State.TALKING
    assert call.speaking_by == "file"


def test_no_way_to_speak_ends_the_call() -> None:
    call = Call()
    run(call, ev.Arrived(False), ev.Answered(), ev.AgentReady(), ev.LaneFailed("x"))
    assert run(call, ev.FilesFailed("y")) == [Hangup("NORMAL_TEMPORARY_FAILURE")]


def test_a_missing_module_is_replaced_by_the_lane() -> None:
    call = Call()
    run(call, ev.Arrived(False), ev.Answered(), ev.AgentReady())
    assert run(call, ev.StreamFailed("no module", missing=True)) == []
    assert run(call, ev.LaneOpened(8000)) == [HearLane(), Greet()]
    assert call.hearing == "lane"

    call = talking()
    run(call, ev.StreamClosed(1006))
    assert run(call, ev.StreamFailed("no module", missing=True)) == [HearLane()]


def test_a_refused_stream_is_tried_again_and_then_replaced() -> None:
    call = Call()
    run(call, ev.Arrived(False), ev.Answered(), ev.AgentReady(), ev.LaneOpened(8000))
    failed = ev.StreamFailed("refused")
    # The lane is there: nobody waits for the stream to be heard.
    assert run(call, failed) == [StartStream(again=True), HearLane()]
    assert run(call, failed) == [StartStream(again=True)]
    assert run(call, failed) == []
    assert call.hearing == "lane"


def test_a_stream_that_comes_back_replaces_the_lane() -> None:
    call = talking()
    assert run(call, ev.StreamClosed(1006), ev.StreamFailed("x", missing=True)) == [HearLane()]
    run(call, ev.StreamOpened())
    assert call.hearing == "stream"


def test_a_closed_stream_gets_its_time_to_come_back() -> None:
    call = talking()
    assert call.handle(ev.StreamClosed(1001), 5.0) == []
    assert call.next_deadline() == 5.0 + STREAM_BACK_S
    run(call, ev.StreamOpened(), now=5.02)
    assert call.next_deadline() is None

    call.handle(ev.StreamClosed(1001), 6.0)
    assert run(call, ev.TimeUp(), now=6.0) == []
    assert run(call, ev.TimeUp(), now=6.0 + STREAM_BACK_S) == [StartStream(again=True)]


def test_neither_stream_nor_lane_is_an_apology() -> None:
    call = talking("file")
    run(call, ev.StreamClosed(1006))
    assert run(call, ev.StreamFailed("x", missing=True)) == [Say("sorry")]
    assert call.state is State.CLOSING


def test_speech_interrupts_only_while_we_talk() -> None:
    call = Call()
    run(call, ev.Arrived(False), ev.Answered(), ev.AgentReady())
    assert run(call, ev.SpeechStarted(0)) == []
    assert run(talking(), ev.SpeechStarted(0)) == [Interrupt()]
    call = talking()
    run(call, ev.AgentFailed("x"))
    assert run(call, ev.SpeechStarted(0)) == []


def test_a_failed_model_apologises_and_hangs_up_when_that_was_heard() -> None:
    call = talking()
    assert run(call, ev.AgentFailed("closed")) == [Say("sorry")]
    assert run(call, ev.ItemFinished("item_1", 100)) == []
    assert run(call, ev.ItemFinished("sorry", 4000)) == [Hangup("NORMAL_TEMPORARY_FAILURE")]
    assert run(call, ev.HungUp("NORMAL_TEMPORARY_FAILURE")) == [Close()]


def test_a_model_that_fails_before_the_lane_opens() -> None:
    call = Call()
    assert run(call, ev.Arrived(False), ev.AgentFailed("401")) == [ConnectAgent(), Answer()]
    assert run(call, ev.Answered()) == [StartStream(), OpenLane()]
    assert run(call, ev.LaneOpened(8000)) == [Say("sorry")]


def test_the_apology_has_a_hard_cap() -> None:
    call = talking()
    run(call, ev.AgentFailed("closed"), now=1.0)
    deadline = call.next_deadline()
    assert deadline == 11.0
    assert run(call, ev.TimeUp(), now=deadline) == [Hangup("NORMAL_TEMPORARY_FAILURE")]


def test_a_hangup_that_the_switch_ignores_ends_anyway() -> None:
    call = talking()
    run(call, ev.AgentFailed("closed"), ev.ItemFinished("sorry", 1))
    deadline = call.next_deadline()
    assert deadline is not None
    assert run(call, ev.TimeUp(), now=deadline) == [Close()]


def test_who_never_answers_is_let_go() -> None:
    call = Call()
    run(call, ev.Arrived(False))
    deadline = call.next_deadline()
    assert deadline is not None
    assert run(call, ev.TimeUp(), now=deadline) == [Hangup("NORMAL_TEMPORARY_FAILURE")]
    call = Call()
    run(call, ev.Arrived(False))
    assert run(call, ev.AnswerFailed("-ERR")) == [Hangup("NORMAL_TEMPORARY_FAILURE")]


def test_a_model_that_never_gets_ready_is_an_apology() -> None:
    call = Call()
    run(call, ev.Arrived(False), ev.Answered(), ev.StreamOpened(), ev.LaneOpened(8000))
    deadline = call.next_deadline()
    assert deadline is not None
    assert run(call, ev.TimeUp(), now=deadline) == [Say("sorry")]


def test_shutting_down_lets_go_without_ending_the_call() -> None:
    assert run(talking(), ev.ShutDown()) == [Close()]


def test_a_failed_response_is_noted() -> None:
    call = talking()
    assert call.handle(ev.ResponseDone("r1", "completed"), 0) == []
    (note,) = call.handle(ev.ResponseDone("r1", "failed", "overloaded"), 0)
    assert note == Note("the model failed to reply", "overloaded")


def test_a_patient_setting_is_honoured() -> None:
    call = Call("lane", model_s=60.0)
    run(call, ev.Arrived(False), ev.Answered(), ev.LaneOpened(8000))
    deadline = call.next_deadline()
    assert deadline is not None
    assert deadline > 60
    *_, note, _ = [None, *call.handle(ev.TimeUp(), deadline)]
    assert note == Note("the call is ended", "waited in vain for the model")


def _events() -> st.SearchStrategy[ev.Event]:
    text = st.sampled_from(["", "why"])
    items = st.sampled_from(["sorry", "item_1"])
    return st.one_of(
        st.builds(ev.Arrived, st.booleans(), st.booleans()),
        st.just(ev.Answered()),
        st.builds(ev.AnswerFailed, text),
        st.builds(ev.HungUp, text),
        st.builds(ev.SwitchLost, text),
        st.just(ev.StreamOpened()),
        st.builds(ev.StreamClosed, st.just(1006)),
        st.builds(ev.StreamFailed, text, st.booleans()),
        st.builds(ev.LaneOpened, st.just(8000)),
        st.builds(ev.LaneFailed, text),
        st.just(ev.FilesReady()),
        st.builds(ev.FilesFailed, text),
        st.builds(ev.ItemStarted, items),
        st.builds(ev.ItemFinished, items, st.just(10)),
        st.just(ev.AgentReady()),
        st.builds(ev.AgentFailed, text),
        st.builds(ev.SpeechStarted, st.just(0)),
        st.builds(ev.SpeechStopped, st.just(0)),
        st.builds(ev.ResponseStarted, st.sampled_from(["r1", "r2"])),
        st.builds(ev.ResponseDone, st.sampled_from(["r1", "r2"]), st.just("completed")),
        st.just(ev.TimeUp()),
        st.just(ev.ShutDown()),
    )


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(["lane", "file"]),
    st.booleans(),
    st.lists(st.tuples(_events(), st.floats(0, 5)), max_size=60),
)
def test_no_order_of_events_breaks_a_call(
    playback: Playback, codec_known: bool, script: list[tuple[ev.Event, float]]
) -> None:
    call, now = Call(playback), 0.0
    done: Actions = []
    for event, step in [(ev.Arrived(False, codec_known), 0.0), *script]:
        now += step
        over = call.state in (State.HANGING_UP, State.ENDED)
        actions = call.handle(event, now)
        done += actions
        if over:
            assert all(isinstance(a, Close) for a in actions), "spoke after hanging up"
        if any(isinstance(a, Greet | HearLane) for a in actions):
            assert call.speaking_by != "no" or call.state is not State.TALKING
        if any(isinstance(a, Say) for a in actions):
            assert call.speaking_by != "no", "said something that nobody can hear"
    # It is never stuck: left alone, its own deadlines end every state but a conversation.
    for _ in range(20):
        deadline = call.next_deadline()
        if deadline is None:
            break
        now = max(now, deadline)
        actions = call.handle(ev.TimeUp(), now)
        assert call.next_deadline() != deadline, "a deadline that never passes"
        done += actions
    assert call.state in (State.TALKING, State.ENDED)
    # And a hangup always ends it.
    done += call.handle(ev.HungUp("NORMAL_CLEARING"), now)
    assert call.state is State.ENDED
    assert call.next_deadline() is None
    assert sum(isinstance(a, Hangup) for a in done) <= 1, "hung up twice"
    assert sum(isinstance(a, Close) for a in done) == 1
    assert sum(isinstance(a, ConnectAgent) for a in done) <= 1
    assert sum(isinstance(a, Greet) for a in done) <= 1
    assert sum(isinstance(a, Say) for a in done) <= 1
    assert isinstance(done[-1], Close)
    for event, _ in script:
        assert call.handle(event, now) == []
