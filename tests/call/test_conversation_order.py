"""Conversations in any order that a world of model, caller and switch can bring about."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import Recovery, ToolCall
from esl_controller.call.agent_events import AgentReady, SpeechStarted, SpeechStopped
from esl_controller.call.states import State
from tests.call.world import World, secretary, tool_call

CALLS = (
    tool_call("end_call"),
    tool_call("transfer_call", destination="Sales"),
    tool_call("transfer_call", destination="nobody"),
    tool_call("hold", seconds=20),
    tool_call("unhold"),
    tool_call("collect_digits", name="pin", count=2, secure=True),
    tool_call("collect_digits", name="number"),
    tool_call("take_message", name="Ann", text="Call me."),
    tool_call("find"),
    tool_call("find", a=1),
    tool_call("check_pin"),
    tool_call("no_such_function"),
)
STEPS = (
    *("answers", "answers", "starts", "speaks", "speaks", "ends", "ends", "ends", "refused"),
    *("heard", "heard", "heard", "began", "began", "stopped", "stopped", "confirmed", "doubted"),
    *("tone", "words and a tone"),
    *("key", "webhook", "lost", "back", "back", "transfer", "lane", "files", "wait"),
)
LIMITS = {"idle_s": 6.0, "idle_prompts": 1, "max_call_s": 200, "warn_s": 30}


def step(world: World, kind: str, pick: int) -> None:
    """Let something happen, if it can in this world."""
    may_start = not world.response and (world.asked or world.takes_turns)
    present = world.model == "ready"
    match kind:
        case "answers" if present and may_start:
            world.reply(*_calls(world, pick, 1), speak=pick % 2 == 0)
        case "starts" if present and may_start:
            world.feed(world.started())
        case "refused" if present and world.asked and not world.response:
            recovery = {5: Recovery.RECONNECT, 7: Recovery.NEXT_MODEL}.get(pick)
            world.feed(world.refused(recovery=recovery or Recovery.ASK_AGAIN))
        case "speaks" if present and world.response and not world.cancelled:
            if world.call.state is State.TALKING and not world.music:
                world.feed(world.queued())
        case "ends" if present and world.response:
            status = ("completed", "completed", "completed", "failed", "incomplete")[pick % 5]
            if world.cancelled and pick % 3:
                status = "cancelled"
            world.feed(world.done(*_calls(world, pick, pick % 3), status=status))
        case "heard" if world.items and not world.paused:
            world.hear()
        case "began" if present:
            world.feed(SpeechStarted(0, f"u{pick}"))
        case "stopped" if present:
            world.feed(SpeechStopped(0, f"u{pick}"))
        case "confirmed":
            world.feed(ev.SpeechConfirmed())
        case "doubted":
            world.feed(ev.SpeechDoubted())
        case "tone" | "words and a tone":
            world.feed(ev.ToneHeard(alone=kind == "tone"))
        case "key":
            world.feed(ev.Dtmf("0123456789*#"[pick % 12]))
        case "webhook" if world.running:
            world.feed(ev.WebhookDone(world.running.pop(), '{"found": 1}'))
        case "lost" if world.model != "none":
            world.lose(Recovery.NEXT_MODEL if pick == 7 else Recovery.RECONNECT)
        case "back" if world.model == "connecting":
            world.feed(AgentReady(turn_lost=pick % 4 == 0))
        case "transfer" if world.transferring:
            world.feed(ev.TransferFailed("busy") if pick % 4 else ev.Transferred())
        case "lane" if world.call.speaking_by == "lane" and pick == 3:
            world.feed(ev.LaneFailed("closed"))
        case "files" if world.files_due:
            world.files_due, world.items, world.paused = False, [], False
            world.feed(ev.FilesReady())
        case "wait":
            world.later(pick / 2)


def _calls(world: World, pick: int, count: int) -> list[ToolCall]:
    chosen = [CALLS[(pick + i) % len(CALLS)] for i in range(count)]
    names = [f"{world._count}-{len(world.actions)}-{i}" for i in range(count)]
    return [
        ToolCall(name, call.name, call.arguments) for name, call in zip(names, chosen, strict=True)
    ]


def let_it_end(world: World) -> None:
    """A caller who is silent, and a model that does its duty: the call comes to its end."""
    step(world, "stopped", 99)
    for _ in range(300):
        if world.call.state is State.ENDED:
            return
        if world.files_due:
            step(world, "files", 0)
        elif world.call.state is State.HANGING_UP:
            world.feed(ev.HungUp("NORMAL_CLEARING"))
        elif world.transferring:
            world.feed(ev.TransferFailed("busy"))
        elif world.model == "connecting":
            world.feed(AgentReady())
        elif world.asked:
            world.reply()
        elif world.response:
            world.feed(world.done())
        elif world.items:
            world.hear()
        elif world.running:
            step(world, "webhook", 0)
        else:
            deadline = world.call.next_deadline()
            assert deadline is not None, "stuck"
            world.later(max(0.0, deadline - world.now) + 0.001)
    raise AssertionError(f"no end: {world.call.state}")


@settings(max_examples=400, deadline=None)
@given(
    st.booleans(),
    st.sampled_from(["", "Sales"]),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11), st.floats(0, 3)), max_size=50),
)
def test_no_order_of_events_breaks_a_conversation(
    takes_turns: bool, fallback: str, interruptible: bool, script: list[tuple[str, int, float]]
) -> None:
    who = secretary(limits=LIMITS, barge_in={"during_greeting": interruptible})
    world = World(who, takes_turns=takes_turns, fallback=fallback).talking()
    for kind, pick, seconds in script:
        step(world, kind, pick)
        world.later(seconds)
    let_it_end(world)
    ends = [a for a in world.actions if isinstance(a, do.Hangup)]
    assert len(ends) <= 1
    pins = [a.secure.get("code", "") for a in world.actions if isinstance(a, do.AskWebhook)]
    assert all(len(pin) in (0, 2) for pin in pins)
