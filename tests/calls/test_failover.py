"""Calls whose model is away go on with another one: [[models]]."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from esl_controller.agents.openai import realtime
from esl_controller.call import model_link
from esl_controller.simulator.freeswitch import CallStandIn
from esl_controller.simulator.live import LiveStandIn
from esl_controller.simulator.model import ModelFaults, ModelSession, ModelStandIn
from tests.calls.rig import Rig, greeted, rig, words, words_of
from tests.calls.test_model_errors import QUOTA, noted
from tests.calls.test_talking import say
from tests.waiting import until

AGAIN_S = 2.0  # from the first model's death until a caller hears the second one
MODELS = '[[models]]\nname = "in reserve"\nbase_url = "{url}"\nmodel = "other"\nvoice = "cedar"\n'
SECRETARY = 'name = "Ana"\nvoice = "marin"\nlanguage = "en"\n'


@dataclass
class Two:
    """A controller that has two models."""

    rig: Rig
    second: ModelStandIn

    @property
    def first(self) -> ModelStandIn:
        return self.rig.model

    async def die(self) -> None:
        """The first model breaks off, and can no more be had."""
        self.first.faults = ModelFaults(too_many=True)
        for session in self.first.sessions:
            await session.close(1011, "going down")

    async def new_calls(self, count: int) -> list[CallStandIn]:
        """Callers who dial at once, and have been greeted."""
        calls = [await self.rig.switch.call() for _ in range(count)]
        await asyncio.gather(*(greeted(call, 20) for call in calls))
        return calls


@asynccontextmanager
async def two(
    model: dict[str, Any] | None = None, secretary: str = SECRETARY, **also: Any
) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(
            ModelStandIn(greeting="caller_interrupts", think_ms=20)
        )
        file = MODELS.format(url=second.base_url)
        of = await stack.enter_async_context(
            rig(model=model, file=file, secretary=secretary, **also)
        )
        yield Two(of, second)


def set_up(session: ModelSession) -> dict[str, Any]:
    """What a session was told when it began."""
    events = session.record.client_events
    return dict(next(e["session"] for e in events if e["type"] == "session.update"))


def history(session: ModelSession) -> list[tuple[str, str]]:
    events = session.record.client_events
    items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
    return [(item["role"], item["content"][0]["text"]) for item in items]


async def hears(call: CallStandIn, since: float) -> float:
    """When the caller heard something after ``since``."""
    return await call.wait_heard(lambda at, frame: at > since, timeout=10)


async def test_in_mid_word_the_second_model_goes_on_as_the_same_secretary() -> None:
    async with two({"greeting": "greeting"}) as of:
        call = await of.rig.switch.call()
        await call.wait_heard(timeout=10)
        await asyncio.sleep(0.6)
        with capture_logs() as logs:
            await of.die()
            await until(lambda: bool(of.second.sessions))
            await until(lambda: bool(of.second.sessions[0].record.spoken))
            await hears(call, asyncio.get_running_loop().time())
        (session,) = of.second.sessions
        before, after = set_up(of.first.sessions[0]), set_up(session)
        assert after["instructions"] == before["instructions"]
        voices = [told["audio"]["output"]["voice"] for told in (before, after)]
        assert voices == ["marin", "cedar"]
        ((who, said),) = history(session)
        assert who == "assistant"
        assert words_of("greeting").startswith(said)
        assert said, "a part of it was heard"
        assert [line["model"] for line in logs if line["event"] == "another model"] == [
            "in reserve"
        ]
        await say(call)
        await until(lambda: len(session.record.spoken) == 2)
        call.hangup()
        await of.rig.no_calls()
        notes = await noted(of.rig, call)
        assert [note.partition(":")[0] for note in notes] == [
            "the model is called again",
            "another model is called",
            "the call goes on with the model in reserve",
        ]
        assert (await of.rig.record(call.uuid))["outcome"] == "completed"


async def test_a_secretary_has_an_order_of_its_own() -> None:
    async with two(secretary=SECRETARY + 'models = ["in reserve", "[agent]"]\n') as of:
        (call,) = await of.new_calls(1)
        assert (len(of.first.sessions), len(of.second.sessions)) == (0, 1)
        assert set_up(of.second.sessions[0])["audio"]["output"]["voice"] == "cedar"
        of.second.faults = ModelFaults(too_many=True)
        await of.second.sessions[0].close(1011, "going down")
        await until(lambda: any(session.record.client_events for session in of.first.sessions))
        assert set_up(of.first.sessions[0])["audio"]["output"]["voice"] == "marin"
        call.hangup()


async def test_a_model_that_a_secretary_does_not_name_has_none_of_its_calls() -> None:
    async with two(secretary=SECRETARY + 'models = ["[agent]"]\n') as of:
        (call,) = await of.new_calls(1)
        await of.die()
        await until(lambda: of.first.refused > 1)
        assert not of.second.sessions
        call.hangup()


async def test_a_model_that_the_settings_do_not_have_is_told_and_costs_no_call() -> None:
    async with two(secretary=SECRETARY + 'models = ["gone"]\n') as of:
        with capture_logs() as logs:
            (call,) = await of.new_calls(1)
        told = [line for line in logs if line["event"] == "the secretary names unknown models"]
        assert [line["models"] for line in told] == [["gone"]]
        assert len(of.first.sessions) == 1
        call.hangup()


async def test_everybody_hears_us_again_soon_and_nobody_is_lost() -> None:
    async with two() as of:
        calls = await of.new_calls(10)
        pcm, rate = words()
        for call in calls:
            call.speak(pcm, rate)
        await asyncio.sleep(calls[-1].speaking_for)
        await of.die()
        sessions = of.second.sessions
        await until(lambda: sum(bool(it.record.spoken) for it in sessions) == len(calls), AGAIN_S)
        now = asyncio.get_running_loop().time()
        await asyncio.gather(*(hears(call, now) for call in calls))
        assert all(call.cause == "" for call in calls)
        for call in calls:
            call.hangup()


async def test_a_quota_that_is_used_up_costs_no_second() -> None:
    async with two({"faults": ModelFaults(refuse_requests=99, failure=QUOTA)}) as of:
        call = await of.rig.switch.call()
        await call.wait_heard(timeout=2)
        assert (len(of.first.sessions), len(of.second.sessions)) == (1, 1)
        call.hangup()
        await of.rig.no_calls()
        assert (await of.rig.record(call.uuid))["outcome"] == "completed"


async def test_a_model_that_begins_replies_and_never_speaks_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(realtime, "STALL_S", 0.6)
    monkeypatch.setattr(model_link, "STABLE_S", 0.3)
    async with two({"faults": ModelFaults(stall_after_ms=0)}) as of:
        call = await of.rig.switch.call()
        await until(lambda: bool(of.second.sessions and of.second.sessions[0].record.spoken))
        assert len(of.first.sessions) == 2, "another connection might have helped"
        await hears(call, asyncio.get_running_loop().time())
        call.hangup()
        await of.rig.no_calls()
        assert (await of.rig.record(call.uuid))["outcome"] == "completed"


async def test_new_calls_do_not_dial_a_model_that_is_known_to_be_down_and_find_it_again() -> None:
    async with two({"faults": ModelFaults(too_many=True)}) as of:
        calls = await of.new_calls(1)
        assert of.first.refused == 1
        calls += await of.new_calls(3)
        assert of.first.refused == 2, "one call at a time may try it"
        assert len(of.second.sessions) == 4
        of.first.faults = ModelFaults()
        calls += await of.new_calls(1)
        assert len(of.first.sessions) == 1
        assert len(of.second.sessions) == 4
        for call in calls:
            call.hangup()


async def test_a_key_that_is_refused_costs_each_call_one_try_and_no_other_call_anything() -> None:
    async with two({"faults": ModelFaults(refuse_key="http")}) as of:
        calls = await of.new_calls(3)
        assert of.first.refused == len(of.second.sessions) == 3
        for call in calls:
            call.hangup()


async def test_both_are_away_for_3_s_and_the_call_goes_on() -> None:
    async with two() as of:
        (call,) = await of.new_calls(1)
        of.second.faults = ModelFaults(too_many=True)
        await of.die()
        await asyncio.sleep(3.0)
        assert call.cause == ""
        of.second.faults = ModelFaults()
        await until(lambda: bool(of.second.sessions), 10)
        await say(call)
        await until(lambda: bool(of.second.sessions[-1].record.spoken))
        call.hangup()


async def test_both_are_away_for_good_and_the_caller_hears_so() -> None:
    refusing = {"faults": ModelFaults(refuse_requests=99, failure=QUOTA)}
    async with two(refusing) as of:
        of.second.faults = ModelFaults(refuse_requests=99, failure=QUOTA)
        call = await of.rig.switch.call()
        await call.ended(timeout=15)
        await of.rig.no_calls()
        assert (await of.rig.record(call.uuid))["outcome"] == "model lost"


@pytest.mark.parametrize(
    ("kind", "other"), [("live", "live"), ("live", "realtime"), ("realtime", "live")]
)
async def test_whichever_takes_turns_itself_a_call_goes_on_with_another_kind(
    kind: str, other: str
) -> None:
    """In mid-word, then as if it had begun with that one: answered, and interrupted."""
    kinds = {"live": LiveStandIn, "realtime": ModelStandIn}
    how: dict[str, Any] = {"greeting": "greeting", "think_ms": 20}
    async with AsyncExitStack() as stack:
        second = await stack.enter_async_context(kinds[other](**how))
        live = LiveStandIn(**how) if kind == "live" else None
        file = MODELS.format(url=second.base_url) + f'kind = "{other}"\n'
        of = await stack.enter_async_context(rig(model=how, live=live, file=file))
        first = live or of.model
        call = await of.switch.call()
        await call.wait_heard()
        await asyncio.sleep(0.5)
        first.faults = ModelFaults(too_many=True)
        died = asyncio.get_running_loop().time()
        for session in first.sessions:
            await session.close(1011, "going down")
        await until(lambda: bool(second.sessions))
        spoken = second.sessions[0].record.spoken
        await until(lambda: bool(spoken))
        assert await hears(call, died + 0.3) - died < AGAIN_S
        await greeted(call)
        before = len(spoken)
        await say(call)
        await until(lambda: len(spoken) > before)
        await hears(call, asyncio.get_running_loop().time())
        begun = asyncio.get_running_loop().time()
        call.speak(*words())
        await call.wait_silence(0.5, timeout=10)
        assert asyncio.get_running_loop().time() - begun < 3, "the caller is not heard over us"
        call.hangup()


@pytest.mark.parametrize("told", ["", MODELS.format(url="http://127.0.0.1:9/v1")])
async def test_a_model_that_is_well_keeps_its_calls(told: str) -> None:
    async with rig(file=told) as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        await until(lambda: len(of.model.sessions[0].record.spoken) == 2)
        assert len(of.model.sessions) == 1
        call.hangup()
