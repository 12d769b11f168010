"""Where a call is, in one line, and how many events it ignored."""

from __future__ import annotations

import pytest

from esl_controller.call import events as ev
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentReady, SpeechStarted, SpeechStopped
from esl_controller.call.machine import Call
from esl_controller.call.states import State
from tests.call.world import World, tool_call

UP = "talking; hears: stream; speaks: lane; model: ready"


def where(world: World) -> str:
    """The line; it is also what a failed test and a debugger show."""
    line = world.call.describe()
    assert repr(world.call) == f"<Call {line}>"
    return line


def test_on_the_way_to_the_conversation() -> None:
    world = World()
    assert where(world) == "arrived; hears: no; speaks: no; model: none"
    world.feed(ev.Arrived(False))
    assert where(world) == "answering; hears: no; speaks: no; model: connecting"
    world.feed(ev.Answered(), ev.StreamOpened())
    assert where(world) == "preparing; hears: stream; speaks: no; model: connecting"


def test_the_floor_and_the_reply() -> None:
    world = World().talking()
    assert where(world) == f"{UP}; floor: nobody; reply: greeting requested"
    world.feed(world.started(), world.queued())
    assert where(world) == f"{UP}; floor: agent; reply: greeting in flight"
    world.feed(world.done())
    assert where(world) == f"{UP}; floor: agent"
    world.hear_all()
    assert where(world) == f"{UP}; floor: nobody"
    world.feed(SpeechStarted(0, "u1"))
    assert where(world) == f"{UP}; floor: caller"
    world.feed(SpeechStopped(0, "u1"))
    assert where(world) == f"{UP}; floor: nobody; reply: answer requested"


def test_an_interruption() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), SpeechStarted(0, "u2"))
    assert where(world) == f"{UP}; floor: caller?; reply: answer in flight"
    world.feed(ev.SpeechConfirmed())
    assert where(world) == f"{UP}; floor: caller; reply: answer cancelled"
    world.feed(SpeechStopped(0, "u2"))
    assert where(world) == f"{UP}; floor: nobody; reply: answer cancelled,then answer"


def test_a_model_that_takes_turns_itself_is_expected_to_reply() -> None:
    world = World(takes_turns=True).greeted()
    world.turn()
    assert where(world) == f"{UP}; floor: nobody; reply: expected"


def test_secret_digits_are_never_in_it() -> None:
    world = World().greeted()
    world.asks(tool_call("collect_digits", name="pin", count=6, secure=True))
    assert where(world) == f"{UP}; floor: nobody; waits: secret digits"
    for key in "4711":
        world.feed(ev.Dtmf(key))
        assert where(world) == f"{UP}; floor: nobody; waits: secret digits"
    world.later(60.0)
    assert "4" not in where(world)


def test_other_digits_are_not_in_it_either() -> None:
    world = World().greeted()
    world.asks(tool_call("collect_digits", name="number"))
    world.feed(ev.Dtmf("7"))
    assert where(world) == f"{UP}; floor: nobody; waits: digits"
    asked_for_none = World().greeted()
    asked_for_none.feed(ev.Dtmf("7"))
    assert where(asked_for_none) == f"{UP}; floor: nobody; waits: keys"


def test_a_hold_and_its_music() -> None:
    world = World().greeted()
    world.asks(tool_call("hold"), speak=True)
    assert where(world) == f"{UP}; floor: agent; waits: hold"
    world.hear_all()
    assert where(world) == f"{UP}; floor: nobody; waits: hold with music"


def test_webhook_functions_by_their_names() -> None:
    world = World().greeted()
    world.asks(tool_call("find", "c1", a=1), tool_call("check_pin", "c2"), speak=True)
    world.hear_all()
    assert where(world) == f"{UP}; floor: nobody; waits: find,check_pin"


def test_leaving_and_having_left() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    assert where(world) == f"{UP}; floor: nobody; reply: last_words requested; leaves: hangup"
    world.reply()
    assert where(world) == f"{UP}; floor: agent; leaves: hangup"
    world.hear_all()
    assert where(world) == "hanging up; hears: stream; speaks: lane; model: ready"
    before = where(world)
    world.feed(ev.HungUp("NORMAL_CLEARING"))
    assert where(world) == "ended; hears: stream; speaks: lane; model: ready"
    assert world.call.ended_in == before


def test_a_transfer_by_its_destination() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="shop"), speak=True)
    world.hear_all()
    assert where(world) == (
        "transferring; hears: stream; speaks: lane; model: ready; floor: nobody; leaves: Sales"
    )


def test_what_is_broken() -> None:
    world = World().greeted()
    world.lose()
    world.feed(ev.StreamClosed(1006), ev.LaneFailed("closed"))
    assert where(world) == "talking; hears: no; speaks: no; model: connecting; floor: nobody"
    other = World().greeted()
    other.lose(Recovery.NEXT_MODEL)
    assert where(other) == "closing; hears: stream; speaks: lane; model: lost"


# --- events that come too late or too early -------------------------------------------------------


def ignored(call: Call, event: ev.Event) -> int:
    """How many more events are ignored after this one, on which nothing may be done."""
    before = call.ignored
    assert call.handle(event, 1.0) == []
    return call.ignored - before


@pytest.mark.parametrize(
    "event", [ev.Answered(), ev.Transferred(), SpeechStarted(0), ev.Dtmf("1"), ev.TimeUp()]
)
def test_an_event_that_comes_too_early_is_counted(event: ev.Event) -> None:
    assert ignored(World().call, event) == 1


@pytest.mark.parametrize(
    "event", [ev.Arrived(False), ev.Answered(), ev.Transferred(), ev.TransferFailed("busy")]
)
def test_an_event_that_comes_too_late_is_counted(event: ev.Event) -> None:
    world = World().greeted()
    assert world.call.ignored == 0, "until now each one meant something"
    assert ignored(world.call, event) == 1


def test_after_the_end_every_event_is_counted() -> None:
    world = World().greeted()
    world.feed(ev.HungUp("NORMAL_CLEARING"))
    assert world.call.state is State.ENDED
    late = (ev.HungUp("x"), ev.SwitchLost("x"), ev.ShutDown(), AgentReady(), ev.Dtmf("1"))
    assert [ignored(world.call, event) for event in late] == [1] * len(late)
    assert world.call.cause == "NORMAL_CLEARING"


def test_an_event_that_only_the_conversation_decides_on_is_not_counted() -> None:
    world = World().greeted()
    assert ignored(world.call, ev.SpeechDoubted()) == 0
    assert ignored(world.call, ev.WebhookDone("unknown", "{}")) == 0
