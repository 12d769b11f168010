"""The runner of one call's decisions: events in, actions out, time, tasks, and our own bugs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import structlog
from structlog.testing import capture_logs

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.conversation import Conversation
from esl_controller.call.machine import Call
from esl_controller.call.states import MAX_S, State
from esl_controller.call.tools import Toolbox
from esl_controller.session.runner import CallRunner
from tests.call.world import secretary

Perform = Callable[[do.Action], None]


def a_runner(perform: Perform, decided: Callable[[], None] = lambda: None) -> CallRunner:
    who = secretary()
    conversation = Conversation(who, Toolbox(who), closed=False)
    log = structlog.stdlib.get_logger("esl_controller.test")
    return CallRunner(Call(conversation), log, perform=perform, after_event=decided)


async def test_actions_are_done_in_order_and_then_it_is_decided() -> None:
    done: list[str] = []
    runner = a_runner(lambda a: done.append(type(a).__name__), lambda: done.append("decided"))
    async with runner.running():
        runner.report(ev.Arrived(answered=False))
    assert done == ["LimitCall", "ConnectAgent", "Answer", "decided"]
    assert list(runner.marks) == ["answering_s"]


async def test_what_is_reported_while_an_action_is_done_waits_for_its_turn() -> None:
    done: list[str] = []

    def perform(action: do.Action) -> None:
        done.append(type(action).__name__)
        if isinstance(action, do.ConnectAgent):
            runner.report(ev.AnswerFailed("no"))  # before Answer is done

    runner = a_runner(perform)
    async with runner.running():
        runner.report(ev.Arrived(answered=False))
    assert done == ["LimitCall", "ConnectAgent", "Answer", "Note", "Hangup"]


async def test_a_deadline_of_the_call_comes_as_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAX_S, State.ANSWERING, 0.01)
    done: asyncio.Queue[do.Action] = asyncio.Queue()
    runner = a_runner(done.put_nowait)
    async with runner.running():
        runner.report(ev.Arrived(answered=False))
        async with asyncio.timeout(5):
            while not isinstance(await done.get(), do.Hangup):
                pass


async def test_an_event_that_comes_too_early_is_logged_with_the_place() -> None:
    runner = a_runner(lambda action: None)
    with capture_logs() as logs:
        async with runner.running():
            runner.report(ev.Transferred())
    (line,) = logs
    assert (line["log_level"], line["event_type"]) == ("debug", "Transferred")
    assert line["where"].startswith("arrived; hears: no; speaks: no; model: none")
    assert runner.call.ignored == 1


async def test_a_bug_ends_this_call_and_never_reaches_who_reported() -> None:
    def broken(action: do.Action) -> None:
        raise RuntimeError("bug")

    runner = a_runner(broken)
    with capture_logs() as logs:
        async with runner.running():
            runner.report(ev.Arrived(answered=False))
            runner.report(ev.HungUp("NORMAL_CLEARING"))  # nothing is decided any more
            with pytest.raises(RuntimeError, match="bug"):
                await runner.over
    assert [line["where"].split(";")[0] for line in logs] == ["answering"]


async def test_tasks_and_timer_end_with_the_call() -> None:
    runner = a_runner(lambda action: None)
    async with runner.running():
        task = runner.spawn(asyncio.sleep(60))
        runner.report(ev.Arrived(answered=False))
    assert task.cancelled()
    assert runner._timer is not None
    assert runner._timer.cancelled()
