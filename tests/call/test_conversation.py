"""Who speaks when, without a loop: each test is a conversation."""

from __future__ import annotations

import pytest

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import (
    AgentReady,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.instructions import ANSWER_NOW
from esl_controller.call.patience import SILENCE_S
from esl_controller.call.states import State
from esl_controller.call.timers import LAST_WORDS_S, UNANSWERED_S, UNSAID_S
from esl_controller.call.tool_calls import KEYS_S
from tests.call.world import FAREWELL, HANGUP, SALES, World, kinds, output, secretary, tool_call

# --- turns and replies ----------------------------------------------------------------------------


def test_greets_and_then_answers_each_turn_once() -> None:
    world = World().talking()
    (greeting,) = (a for a in world.actions if isinstance(a, do.RequestReply))
    assert "Clinic, hello." in greeting.instructions
    world.reply()
    world.hear_all()
    assert world.turn() == [do.RequestReply()]
    assert world.reply() == []
    world.hear_all()
    assert world.call.conversation.idle


def test_a_turn_while_the_model_thinks_is_answered_when_that_is_over() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started())
    assert world.feed(SpeechStarted(0), ev.SpeechConfirmed()) == [
        do.Pause(),
        do.CheckSpeech(),
        do.Interrupt(),
        do.CancelReply(),
    ]
    assert world.feed(SpeechStopped(0, "u2")) == [do.StopCheck()]
    assert world.feed(world.done(status="cancelled")) == [do.RequestReply()]


def test_a_reply_that_was_only_asked_for_is_cancelled_as_soon_as_it_has_a_name() -> None:
    world = World().greeted()
    world.turn()
    actions = world.feed(SpeechStarted(0), ev.SpeechConfirmed())
    assert do.CancelReply() not in actions
    assert world.feed(world.started()) == [do.CancelReply()]


def test_a_reply_that_fails_is_asked_for_again_as_it_was() -> None:
    world = World().talking()
    greeting = world.actions[-1]
    world.feed(world.started())
    assert world.feed(world.done(status="failed")) == []
    assert world.later(0.3) == [greeting]
    world.feed(world.started(), world.queued())
    world.hear_all()
    world.feed(world.done())
    assert world.turn() == [do.RequestReply()]  # the failures are forgotten


# --- interruptions --------------------------------------------------------------------------------


def test_speech_over_a_reply_pauses_it_and_then_ends_it() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    assert world.feed(SpeechStarted(0, "u2")) == [do.Pause(), do.CheckSpeech()]
    assert world.feed(ev.SpeechConfirmed()) == [do.Interrupt()]
    assert world.feed(ev.SpeechConfirmed()) == []
    assert world.feed(SpeechStopped(0, "u2")) == [do.StopCheck(), do.RequestReply()]


def test_a_cough_pauses_once_in_a_reply_and_is_forgotten() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    world.feed(SpeechStarted(0, "u2"))
    assert world.feed(ev.SpeechDoubted()) == [do.Unpause()]
    assert world.feed(SpeechStopped(0, "u2")) == [do.StopCheck(), do.ForgetItem("u2")]
    # What fooled us once gets no second pause, but is heard if it is speech.
    assert world.feed(SpeechStarted(0, "u3")) == [do.CheckSpeech()]
    assert world.feed(ev.SpeechDoubted()) == []
    assert world.feed(ev.SpeechConfirmed()) == [do.Interrupt()]
    world.feed(SpeechStopped(0, "u3"))
    world.reply()
    assert do.Pause() in world.feed(SpeechStarted(0, "u4")), "another reply, another chance"


def test_a_short_sound_without_a_verdict_resumes_and_is_forgotten() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    world.feed(SpeechStarted(0, "u2"))
    assert world.feed(SpeechStopped(0, "u2")) == [
        do.StopCheck(),
        do.Unpause(),
        do.ForgetItem("u2"),
    ]
    world.hear_all()
    assert world.call.conversation.idle


def test_nothing_is_checked_while_nobody_else_speaks() -> None:
    world = World().greeted()
    assert world.feed(SpeechStarted(0, "u1")) == []
    assert world.feed(ev.SpeechConfirmed(), ev.SpeechDoubted()) == []
    assert world.feed(SpeechStopped(0, "u1")) == [do.RequestReply()]


def test_a_greeting_that_cannot_be_interrupted() -> None:
    world = World(secretary(barge_in={"during_greeting": False})).talking()
    world.reply()
    assert world.feed(SpeechStarted(0, "u1")) == [do.CheckSpeech()]
    assert world.feed(SpeechStopped(0, "u1")) == [do.StopCheck(), do.ForgetItem("u1")]
    assert world.feed(ev.Dtmf("5")) == []
    # Speech is answered, once the greeting was heard or is said.
    world.feed(SpeechStarted(0, "u2"))
    assert world.feed(ev.SpeechConfirmed()) == []
    assert world.feed(SpeechStopped(0, "u2")) == [do.StopCheck(), do.RequestReply()]
    world.reply()
    world.hear_all()
    world.turn()
    world.reply()
    assert world.feed(SpeechStarted(0, "u3")) == [do.Pause(), do.CheckSpeech()]


def test_a_sentence_of_ours_is_no_greeting() -> None:
    world = World(secretary(barge_in={"during_greeting": False})).talking()
    world.feed(world.started(), world.queued())
    world.feed(ev.ItemFinished("moment", 900))
    assert world.feed(SpeechStarted(0, "u1")) == [do.CheckSpeech()]


def test_a_key_interrupts_and_is_told() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    assert world.feed(ev.Dtmf("4")) == [do.Interrupt()]
    assert world.feed(ev.Dtmf("2")) == []
    actions = world.later(KEYS_S + 0.1)
    assert actions == [
        do.TellModel("(The caller pressed 42 on the telephone's keypad.)"),
        do.RequestReply(),
    ]


def test_a_model_that_takes_turns_itself_is_asked_for_nothing_it_does_itself() -> None:
    world = World(secretary(limits={"max_turns": 1}), takes_turns=True).greeted()
    assert world.turn() == []
    world.feed(world.started(), world.queued())
    assert world.feed(SpeechStarted(0, "u2")) == []
    world.feed(world.done())
    world.hear_all()
    # But its turns are counted, and the end is ours.
    assert world.feed(SpeechStopped(0, "u2")) == [FAREWELL]


def test_a_model_that_calls_functions_while_it_speaks() -> None:
    world = World(takes_turns=True).greeted()
    world.feed(world.started(), world.queued())
    call = tool_call("find")
    actions = world.feed(ResponseStarted("d1"), ResponseDone("d1", "completed", calls=(call,)))
    assert kinds(actions) == ["AskWebhook"]
    assert world.call.conversation.next_deadline() is not None
    assert not world.call.conversation.idle
    world.feed(world.done())
    world.hear_all()
    assert world.feed(ev.WebhookDone("c1", "{}")) == [do.ToolResult(call, "{}")]


@pytest.mark.parametrize("name", ["end_call", "transfer_call"])
def test_what_a_model_that_takes_turns_itself_says_by_itself_is_no_farewell(name: str) -> None:
    world = World(takes_turns=True).greeted()
    world.feed(world.started(), world.queued())
    given = {"destination": "Sales"} if name == "transfer_call" else {}
    calls = (tool_call(name, **given),)
    asked = world.feed(ResponseStarted("d1"), ResponseDone("d1", "completed", calls=calls))
    assert not any(isinstance(a, do.RequestReply) for a in asked), "it still speaks"
    (words,) = world.feed(world.done())
    assert isinstance(words, do.RequestReply)
    world.reply()
    assert world.hear() == []
    assert isinstance(world.hear()[-1], do.Hangup | do.Transfer)


def test_a_turn_that_a_lost_model_had_not_answered_by_itself_is_answered() -> None:
    world = World(takes_turns=True).greeted()
    assert world.turn() == []
    world.lose()
    assert world.feed(AgentReady()) == [do.RequestReply(ANSWER_NOW)]
    world.reply()
    world.hear_all()
    world.lose()
    assert world.feed(AgentReady()) == [], "it was answered"


def test_a_turn_that_a_model_leaves_unanswered_is_asked_about() -> None:
    world = World(takes_turns=True).greeted()
    assert world.turn() == []
    assert world.later(UNANSWERED_S - 0.1) == []
    assert world.later(0.2) == [do.RequestReply(ANSWER_NOW)]
    assert world.later(SILENCE_S + 0.1) == [do.PlaySentence("moment")]
    world.reply()
    world.hear_all()
    assert world.later(2 * UNANSWERED_S) == [], "it was answered"


def test_nobody_is_asked_for_an_answer_while_the_caller_or_a_function_is_busy() -> None:
    world = World(takes_turns=True).greeted()
    world.turn()
    world.feed(SpeechStarted(0, "u2"))
    assert world.later(2 * UNANSWERED_S) == []
    world.feed(SpeechStopped(0, "u2"))
    call = tool_call("find")
    world.feed(ResponseStarted("d1"), ResponseDone("d1", "completed", calls=(call,)))
    world.reply()  # that this may take a while
    world.hear_all()
    assert world.later(2 * UNANSWERED_S) == []
    world.feed(ev.WebhookDone("c1", "{}"))
    assert world.later(UNANSWERED_S + 0.1) == [do.RequestReply(ANSWER_NOW)]


def test_a_model_that_is_told_to_answer_and_does_not_is_left() -> None:
    def nothing() -> ev.Event:
        return world.done(status="incomplete", recovery=Recovery.RECONNECT)

    world = World(takes_turns=True).greeted()
    world.turn()
    world.later(UNANSWERED_S + 0.1)
    assert do.ConnectAgent() in world.feed(world.started(), nothing())
    assert world.feed(AgentReady()) == [do.RequestReply(ANSWER_NOW)]
    while not world.over:
        world.later(4.0)
        if world.asked:
            world.feed(world.started(), nothing())
        if world.model == "connecting":
            world.feed(AgentReady())
    assert world.call.outcome == "model lost"


def test_nobody_misses_a_prompt_that_a_model_does_not_say() -> None:
    world = World(secretary(limits={"idle_s": 5}), takes_turns=True).greeted()
    (prompt,) = world.later(5.1)
    assert isinstance(prompt, do.RequestReply)
    silent = world.done(status="incomplete", recovery=Recovery.RECONNECT)
    assert world.feed(world.started(), silent) == []


# --- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["cancelled", "incomplete", "failed"])
def test_calls_of_a_response_that_was_not_completed_never_run(status: str) -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started())
    actions = world.feed(world.done(tool_call("find"), status=status))
    assert not any(isinstance(a, do.AskWebhook | do.ToolResult) for a in actions)


def test_calls_of_a_response_that_ended_before_it_could_be_cancelled_are_refused() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), SpeechStarted(0, "u2"), ev.SpeechConfirmed())
    actions = world.feed(world.done(tool_call("end_call")))
    assert output(actions) == {"error": "not done: the caller interrupted"}
    assert kinds(world.feed(SpeechStopped(0, "u2"))) == ["StopCheck", "RequestReply"]


def test_a_result_that_comes_during_a_response_brings_one_reply_after_it() -> None:
    world = World().greeted()
    world.asks(tool_call("find", "c1", a=1), tool_call("find", "c2", a=2))
    assert world.asked, "the words for the wait"
    world.feed(world.started(), world.queued())
    assert kinds(world.feed(ev.WebhookDone("c1", "{}"))) == ["ToolResult"]
    assert kinds(world.feed(ev.WebhookDone("c2", "{}"))) == ["ToolResult"]
    assert world.feed(world.done()) == [do.RequestReply()]
    assert world.reply() == []


def test_results_of_one_response_are_answered_together() -> None:
    world = World(secretary()).greeted()
    note = tool_call("take_message", "c2", name="Ann", text="Call me.")
    actions = world.asks(tool_call("find"), note, speak=True)
    assert "StoreMessage" in kinds(actions)
    assert "RequestReply" not in kinds(actions)
    assert kinds(world.feed(ev.WebhookDone("c1", "{}"))) == ["ToolResult", "RequestReply"]


def test_the_same_call_runs_again_when_the_caller_has_spoken() -> None:
    world = World().greeted()
    for call_id in ("c1", "c2"):
        assert "AskWebhook" in kinds(world.asks(tool_call("find", call_id), speak=True))
        world.hear_all()
        assert "AskWebhook" not in kinds(world.feed(ev.WebhookDone(call_id, "{}")))
        assert kinds(world.reply(tool_call("find", "again"))) == ["ToolResult", "RequestReply"]
        world.reply()
        world.hear_all()


def test_who_interrupts_needs_no_words_for_the_wait() -> None:
    world = World().greeted()
    world.asks(tool_call("find", "c1", a=1), speak=True)
    world.feed(ev.WebhookDone("c1", "{}"))
    # The first sentence is still heard: the words for the wait have to wait.
    assert kinds(world.reply(tool_call("find", "c2", a=2), speak=False)) == ["AskWebhook"]
    world.feed(SpeechStarted(0), ev.SpeechConfirmed())
    assert world.feed(SpeechStopped(0))[-1] == do.RequestReply()
    world.reply()
    world.hear_all()
    assert not world.asked


def test_a_wait_is_announced_unless_the_model_did() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("find"))
    assert actions[-1] == do.RequestReply("Say exactly this to the caller, and nothing else: Wait.")
    world = World().greeted()
    assert kinds(world.asks(tool_call("find"), speak=True)) == ["AskWebhook"]


def test_what_cannot_be_done_goes_back_to_the_model() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("transfer_call", destination="the president"))
    assert "unknown destination" in output(actions)["error"]
    assert world.asked, "the model can act on it"


def test_the_farewell_is_heard_before_the_hangup() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("end_call"))
    assert actions[-1] == FAREWELL
    world.reply()
    assert world.turn() == [], "thanks and goodbyes do not interrupt it"
    assert world.feed(ev.Dtmf("1")) == []
    assert world.hear() == [HANGUP]
    assert world.call.state is State.HANGING_UP


def test_a_farewell_that_the_model_spoke_is_not_said_twice() -> None:
    world = World().greeted()
    assert kinds(world.asks(tool_call("end_call"), speak=True)) == ["ToolResult"]
    assert world.hear() == [HANGUP]


def test_nothing_is_said_before_the_farewell_that_was_due_before() -> None:
    limits = {"max_call_s": 60, "warn_s": 20, "idle_s": 0.0}
    world = World(secretary(limits=limits)).greeted()
    world.turn()
    world.feed(world.started(), world.queued())
    world.later(41.0)
    assert world.feed(world.done(tool_call("end_call")))[0] != FAREWELL
    assert world.hear() == [HANGUP], "no warning any more"


def test_nothing_is_said_while_the_caller_is_on_the_way() -> None:
    limits = {"max_call_s": 60, "idle_s": 0.0}
    world = World(secretary(limits=limits)).greeted()
    world.later(58.0)
    world.reply()
    world.hear_all()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear()
    world.now = 61.0
    assert world.feed(ev.TimeUp(), SpeechStarted(0), ev.Dtmf("1")) == []
    actions = world.feed(ev.TransferFailed("busy")) + world.later(0.1)
    assert actions[-1] == do.Interrupt(), "the limit holds"


def test_a_farewell_is_heard_to_its_end_under_a_backstop() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    world.feed(world.started(), world.queued())
    assert world.later(LAST_WORDS_S - 0.1) == []
    assert world.later(0.2)[-1] == HANGUP


@pytest.mark.parametrize("name", ["end_call", "transfer_call"])
def test_what_waits_to_be_heard_and_the_last_words_after_it_take_as_long_as_they_are(
    name: str,
) -> None:
    world = World().greeted()
    world.asks(tool_call("find"), speak=True)
    world.feed(ev.WebhookDone("c1", "{}"))
    given = {"destination": "Sales"} if name == "transfer_call" else {}
    world.reply(tool_call(name, "c2", **given), speak=False)
    assert world.later(12.0) == [], "the answer is still heard"
    world.reply()
    world.hear()
    assert world.later(12.0) == [], "and then the last words"
    assert isinstance(world.hear()[-1], do.Hangup | do.Transfer)


def test_a_farewell_that_does_not_come_is_not_waited_for() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    world.feed(world.started())
    assert HANGUP not in world.later(UNSAID_S - 0.1)
    world.hear_all()  # of "one moment", because nothing came
    assert world.later(0.2)[-1] == HANGUP


def test_a_model_that_calls_end_call_again_is_asked_again_for_its_farewell() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call", "c1"))
    assert world.reply(tool_call("end_call", "c2"), speak=False) == [FAREWELL]
    world.reply()
    assert world.hear() == [HANGUP]


def test_a_model_that_never_says_a_farewell_is_not_asked_for_ever() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call", "c1"))
    asked = [world.reply(tool_call("end_call", f"c{i}"), speak=False) for i in (2, 3, 4)]
    assert asked == [[FAREWELL], [FAREWELL], [HANGUP]]


def test_a_pause_ends_when_the_end_is_decided() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), SpeechStarted(0, "u2"))
    actions = world.feed(world.done(tool_call("end_call")))
    assert actions[1:] == [do.StopCheck(), do.Unpause()]
    assert world.hear() == [HANGUP]


def test_no_function_runs_after_the_end() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("end_call", "c1"), tool_call("find", "c2"))
    assert "AskWebhook" not in kinds(actions)


def test_a_transfer_is_announced_and_comes_back_when_it_fails() -> None:
    world = World().greeted()
    call = tool_call("transfer_call", destination="SHOP")
    assert "Sales" in str(world.asks(call)[-1])
    world.reply()
    assert world.hear() == [do.Transfer(SALES)]
    actions = world.feed(ev.TransferFailed("busy"))
    assert output(actions) == {"error": "the transfer failed: busy"}
    assert actions[-1] == do.RequestReply()
    assert world.call.state is State.TALKING
    limit = world.call.conversation.next_deadline()
    assert limit is not None, "the call's limit is forgotten"


def test_a_transfer_that_the_switch_does_not_answer_is_told_too() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear()
    actions = world.later(6.0)
    assert "no reply from the switch" in output(actions)["error"]
    assert actions[-1] == do.RequestReply()


def test_a_caller_who_spoke_while_a_transfer_failed_is_not_waited_for() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"))
    world.feed(world.started(), world.queued(), SpeechStarted(0), world.done())
    world.hear()
    assert world.call.state is State.TRANSFERRING
    assert world.feed(ev.TransferFailed("busy"))[-1] == do.RequestReply()
