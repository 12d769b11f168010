"""Calls whose model errs."""

from __future__ import annotations

from typing import Literal

import pytest

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.actions import (
    Actions,
    Answer,
    Close,
    ConnectAgent,
    Hangup,
    Note,
    OpenLane,
    PlaySentence,
    RequestReply,
    StartStream,
    Transfer,
)
from esl_controller.call.agent import PATIENCE_S, Recovery
from esl_controller.call.agent_events import (
    AgentFailed,
    AgentReady,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.conversation import Conversation
from esl_controller.call.hops import FALLBACKS, NO_HOPS, TRANSFERS, Hops
from esl_controller.call.instructions import CONTINUE
from esl_controller.call.media_path import MediaPath
from esl_controller.call.model_link import MAX_AGE_S
from esl_controller.call.model_recovery import ModelRecovery
from esl_controller.call.patience import SILENCE_AGAIN_S, SILENCE_S
from esl_controller.call.states import TRANSFER_S, Stage, State
from esl_controller.call.tools import Toolbox
from esl_controller.secretaries.schema import Destination
from tests.call.parts import BEGIN, FAILURE, GONE, LIMIT, WHO, a_call, run, talking
from tests.call.world import SALES, World, kinds, secretary, tool_call

# --- alone ----------------------------------------------------------------------------------------


class Alone:
    """The recovery of a call that talks, or is about to; ``speaking_by``: a way to be heard."""

    def __init__(
        self,
        state: State = State.TALKING,
        *,
        speaking_by: Literal["no", "lane", "file"] = "lane",
        fallback: Destination | None = None,
        hops: Hops = NO_HOPS,
    ) -> None:
        self.stage, self.media = Stage(), MediaPath("lane")
        self.talk = Conversation(WHO, Toolbox(WHO), closed=False, hops=hops)
        self.stage.enter(state, 0.0)
        self.media.speaking_by = speaking_by
        self.model = ModelRecovery(self.stage, self.talk, self.media, fallback, hops)
        self.model.connect()
        if state is State.TALKING:
            self.model.link.ready(0.0)
            self.talk.begin(0.0)

    def fail(self, recovery: Recovery = Recovery.RECONNECT) -> Actions:
        """The model is gone; what is done, without the notes."""
        actions = self.model.failed(AgentFailed("gone", recovery), 1.0)
        return [action for action in actions if not isinstance(action, Note)]


def test_it_connects_once_by_itself() -> None:
    stage, media = Stage(), MediaPath("lane")
    talk = Conversation(WHO, Toolbox(WHO), closed=False)
    model = ModelRecovery(stage, talk, media, None, NO_HOPS)
    assert model.connect() == [ConnectAgent()]
    assert model.connect() == []


def test_a_connection_that_fails_is_made_again_and_one_that_is_given_up_is_not() -> None:
    alone = Alone()
    assert alone.fail() == [ConnectAgent()]
    assert alone.fail(Recovery.GIVE_UP) == [PlaySentence("sorry")]
    assert alone.fail() == []


def test_of_a_model_that_is_given_up_nothing_more_is_expected() -> None:
    alone = Alone(speaking_by="no")
    alone.fail()
    assert not alone.talk.idle, "the greeting is due"
    alone.fail(Recovery.GIVE_UP)
    assert alone.talk.idle


@pytest.mark.parametrize("state", [State.PREPARING, State.TALKING])
def test_nobody_falls_back_before_there_is_a_way_to_be_heard(state: State) -> None:
    alone = Alone(state, speaking_by="no", fallback=SALES)
    assert alone.fail(Recovery.NEXT_MODEL) == []
    alone.media.speaking_by = "file"
    alone.talk.caller_holds(1.0)
    assert alone.model.fall_back() == []
    alone.talk.caller_back(2.0)
    assert alone.model.fall_back() == [Transfer(SALES, fallback=True)]
    assert alone.model.fall_back() == [], "once"


@pytest.mark.parametrize("hops", [Hops(fallbacks=FALLBACKS), Hops(transfers=TRANSFERS)])
def test_a_fallback_that_led_back_to_us_is_not_tried_again(hops: Hops) -> None:
    note, sorry = Alone(fallback=SALES, hops=hops).model.give_up()
    assert isinstance(note, Note)
    assert note.text == "no transfer to the fallback"
    assert sorry == PlaySentence("sorry")


def test_a_reply_that_fails_again_and_again_costs_the_connection_and_then_the_model() -> None:
    alone = Alone()
    assert alone.model.help(1.0) == []
    failed = ResponseDone("r1", "failed", recovery=Recovery.RECONNECT)
    alone.talk.handle(failed, 1.0)
    assert alone.model.help(1.0) == [ConnectAgent()]
    assert alone.model.help(1.0) == [], "and nothing more, until it has failed again"
    alone.model.link.ready(2.0)
    alone.talk.handle(ResponseDone("r2", "failed", recovery=Recovery.NEXT_MODEL), 2.0)
    note, sorry = alone.model.help(2.0)
    assert note == Note("the model cannot be had, the call goes on without it", "it does not reply")
    assert sorry == PlaySentence("sorry")


def test_patience_is_asked_for_while_nothing_is_heard() -> None:
    alone = Alone(State.PREPARING)
    alone.model.follow(0.0)
    assert alone.model.deadline() == SILENCE_S
    assert alone.model.time_up(SILENCE_S) == [PlaySentence("moment")]
    alone.talk.handle(ev.ItemQueued("i1"), 2.0)
    assert alone.model.deadline() is None
    alone.talk.handle(ev.ItemFinished("i1", 20), 3.0)
    assert alone.model.deadline() == SILENCE_S + SILENCE_AGAIN_S
    alone.stage.enter(State.CLOSING, 3.0)
    alone.model.follow(3.0)
    assert alone.model.deadline() is None


def test_in_vain_it_is_tried_until_the_callers_patience_is_over() -> None:
    alone = Alone(speaking_by="no", fallback=SALES)
    alone.fail()
    alone.media.speaking_by = "lane"
    assert alone.model.time_up(1.0 + PATIENCE_S)[-1] == Transfer(SALES, fallback=True)


# --- in a call ------------------------------------------------------------------------------------


def test_a_lost_model_is_called_again_before_anybody_apologises() -> None:
    world = World().greeted()
    actions: list[do.Action] = []
    while world.call.state is State.TALKING:
        assert world.now < PATIENCE_S + 3.0
        actions += world.lose() if world.model == "connecting" else world.later(0.1)
        actions += world.lose() if not actions else []
    assert actions.count(do.ConnectAgent()) > 4
    assert actions.count(PlaySentence("moment")) == 2
    assert actions[-1] == PlaySentence("sorry")
    assert world.now > PATIENCE_S - 3.0
    assert world.call.state is State.CLOSING
    assert world.call.outcome == "model lost"


def test_a_model_lost_in_the_middle_of_a_word_is_back_and_goes_on() -> None:
    call = talking()
    run(call, ResponseStarted("r1"), ev.ItemQueued("i1"))
    assert run(call, AgentFailed("closed"), now=1.0) == [ConnectAgent()]
    assert run(call, AgentReady(), now=1.5) == [RequestReply(CONTINUE)]
    assert call.state is State.TALKING


def test_who_waits_for_a_model_hears_a_word() -> None:
    world = World().greeted()
    world.lose()
    assert world.later(SILENCE_S - 0.1) == []
    assert world.later(0.2) == [PlaySentence("moment")]
    assert world.later(SILENCE_AGAIN_S + 0.1) == [PlaySentence("moment")]
    world.feed(AgentReady())
    assert world.later(5.0) == []


def test_not_while_words_or_music_are_heard() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued())
    world.lose()
    world.feed(AgentFailed("closed", after_s=5.0))
    assert world.later(4.5) == []
    world.hear()
    assert world.later(0.3) == [PlaySentence("moment")]

    world = World().greeted()
    world.asks(tool_call("hold", seconds=100))
    world.lose()
    assert world.later(PATIENCE_S - 0.1) == []
    assert world.call.conversation.music_playing


def test_a_model_that_is_slow_to_come_is_excused_too() -> None:
    call = a_call()
    run(call, ev.Arrived(False), ev.Answered(), ev.StreamOpened(), ev.LaneOpened(8000))
    assert call.next_deadline() == SILENCE_S
    assert run(call, ev.TimeUp(), now=SILENCE_S) == [PlaySentence("moment")]
    assert run(call, AgentReady(), now=2.0) == BEGIN


def test_a_permanent_failure_leads_to_the_fallback() -> None:
    call = talking(fallback=SALES)
    run(call, ResponseStarted("r1"), ev.ItemQueued("i1"))
    assert run(call, GONE) == [Transfer(SALES, fallback=True)]
    assert run(call, AgentFailed("again"), SpeechStarted(0), ev.Dtmf("1")) == []
    assert run(call, ev.Transferred()) == [Close()]
    assert call.outcome == "transferred"

    call = talking(fallback=SALES)
    run(call, GONE)
    assert run(call, ev.TransferFailed("busy")) == [PlaySentence("sorry")]
    call = talking(fallback=SALES)
    run(call, GONE, now=1.0)
    assert call.next_deadline() is not None
    assert run(call, ev.TimeUp(), now=1.0 + TRANSFER_S) == [PlaySentence("sorry")]


def test_an_apology_is_heard_before_the_hangup() -> None:
    call = talking()
    assert run(call, GONE) == [PlaySentence("sorry")]
    assert run(call, ev.ItemFinished("item_1", 100)) == []
    assert run(call, ev.ItemFinished("sorry", 4000)) == [Hangup(FAILURE)]
    assert run(call, ev.HungUp(FAILURE)) == [Close()]


def test_the_caller_is_set_free_before_an_apology() -> None:
    world = World().greeted()
    world.asks(tool_call("hold", seconds=100))
    assert world.lose(Recovery.NEXT_MODEL) == [do.PlayMusic(False), PlaySentence("sorry")]


def test_a_model_that_fails_before_the_lane_opens() -> None:
    call = a_call()
    assert run(call, ev.Arrived(False), GONE) == [LIMIT, ConnectAgent(), Answer()]
    assert run(call, ev.Answered()) == [StartStream(), OpenLane()]
    assert run(call, ev.LaneOpened(8000)) == [PlaySentence("sorry")]


def test_a_model_that_fails_while_the_lane_is_replaced() -> None:
    call = talking(fallback=SALES)
    run(call, ev.LaneFailed("closed"))
    assert run(call, GONE) == []
    assert run(call, ev.FilesReady()) == [Transfer(SALES, fallback=True)]


def test_a_model_that_fails_during_a_transfer_is_called_again() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear()
    assert world.lose() == [ConnectAgent()]
    assert world.feed(AgentReady()) == [], "the caller is on the way"
    assert kinds(world.feed(ev.TransferFailed("busy"))) == ["ToolResult", "RequestReply"]


def test_a_model_that_is_gone_for_good_does_not_stop_a_transfer() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear()
    assert world.lose(Recovery.NEXT_MODEL) == []
    assert world.feed(ev.TransferFailed("busy")) == [PlaySentence("sorry")]


def test_a_session_is_renewed_in_a_quiet_moment() -> None:
    who = secretary(limits={"idle_s": 0.0, "max_call_s": 8000})
    world = World(who).greeted()
    world.feed(SpeechStarted(0))
    assert ConnectAgent() not in world.later(MAX_AGE_S + 1.0)
    world.feed(SpeechStopped(0))
    world.reply()
    assert ConnectAgent() not in world.later(1.0)
    world.hear()
    assert world.later(0.1) == [ConnectAgent()]
    assert world.later(1.0) == []
    assert world.feed(AgentReady()) == []
    assert world.turn() == [RequestReply()]


def test_a_model_that_never_gets_ready_counts_as_lost() -> None:
    to_sales = Transfer(SALES, fallback=True)
    for fallback, action in ((None, PlaySentence("sorry")), (SALES, to_sales)):
        call = a_call(fallback=fallback)
        run(call, ev.Arrived(False), ev.Answered(), ev.StreamOpened(), ev.LaneOpened(8000))
        assert run(call, ev.TimeUp(), now=SILENCE_S) == [PlaySentence("moment")]
        assert run(call, ev.TimeUp(), ev.TimeUp(), now=16.0)[-1] == action
        assert call.outcome == "model lost"


def test_a_patient_setting_is_honoured() -> None:
    call = a_call(model_timeout_s=60.0)
    run(call, ev.Arrived(False), ev.Answered(), ev.LaneOpened(8000))
    assert run(call, ev.TimeUp(), ev.TimeUp(), now=59.0) == [PlaySentence("moment")]
    notes = [call.handle(ev.TimeUp(), 80.0) for _ in range(2)][-1]
    assert notes[0] == Note("the call is ended", "waited in vain for the model")
