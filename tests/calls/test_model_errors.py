"""Models that err, in whole calls: what the caller hears, and what is written down."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from esl_controller.call.instructions import ASK_AGAIN, CONTINUE, WORDS_LOST
from esl_controller.simulator.freeswitch import CallStandIn
from esl_controller.simulator.live import LiveStandIn
from esl_controller.simulator.model import ModelFailure, ModelFaults, ModelSession, ModelStandIn
from media import sounds
from media.resample import convert
from tests.calls.rig import Rig, greeted, rig
from tests.calls.test_talking import replies, say, spoken
from tests.session.test_session import correlation, frames
from tests.waiting import until

QUOTA = ModelFailure("insufficient_quota", "insufficient_quota", "You exceeded your quota.")
LIMIT = ModelFailure("tokens", "rate_limit_exceeded", "Please try again in 1.5 s.")
BUSY = ModelFailure(
    "invalid_request_error",
    "conversation_already_has_active_response",
    "Conversation already has an active response in progress: resp_1.",
)
WRONG = ModelFailure("invalid_request_error", "invalid_value", "Invalid value.")
UNTRANSCRIBED = "what the caller says is not written down"


def faulty(**faults: Any) -> dict[str, Any]:
    return {"faults": ModelFaults(**faults)}


async def noted(of: Rig, call: CallStandIn) -> list[str]:
    return [note["text"] for note in (await of.record(call.uuid))["notes"]]


@pytest.mark.parametrize(
    ("failure", "nameless"), [(BUSY, False), (BUSY, True), (WRONG, False), (None, True)]
)
async def test_a_request_that_is_refused_is_made_again(
    failure: ModelFailure | None, nameless: bool
) -> None:
    model = faulty(refuse_requests=1, failure=failure, forget_events=nameless)
    async with rig(model=model) as of:
        call = await of.switch.call()
        await call.wait_heard(timeout=3)
        assert len(replies(of)) == 2
        assert len(of.model.sessions) == 1
        call.hangup()
        await of.no_calls()
        assert (await of.record(call.uuid))["outcome"] == "completed"


async def test_a_model_that_speaks_by_itself_and_refuses_a_request_is_told_again() -> None:
    live = LiveStandIn(greeting="caller_interrupts", think_ms=20, **faulty(refuse_requests=1))
    async with rig(live=live) as of:
        call = await of.switch.call()
        await call.wait_heard(timeout=4)
        told = [
            event
            for event in live.sessions[0].record.client_events
            if event["type"] == "session.commentary.append"
        ]
        assert len(told) == 2
        assert len(live.sessions) == 1
        call.hangup()


async def test_a_quota_that_is_used_up_ends_in_an_apology_at_once() -> None:
    async with rig(model=faulty(refuse_requests=99, failure=QUOTA)) as of:
        call = await of.switch.call()
        await call.wait_heard(timeout=2)
        assert len(of.model.sessions) == 1
        await call.ended(timeout=10)
        said, rate = sounds.load("sorry", "en")
        assert correlation(frames(call), convert(said, rate, call.rate)) > 0.9
        await of.no_calls()
        assert (await of.record(call.uuid))["outcome"] == "model lost"


async def test_a_response_that_fails_is_asked_for_again_when_the_service_says() -> None:
    async with rig(model=faulty(fail_responses=1, failure=LIMIT)) as of:
        loop = asyncio.get_running_loop()
        call = await of.switch.call()
        await until(lambda: bool(of.model.sessions) and len(replies(of)) == 1)
        began = loop.time()
        await until(lambda: len(replies(of)) == 2)
        assert 1.4 < loop.time() - began < 3.0
        await until(lambda: bool(of.model.sessions[0].record.spoken))
        await greeted(call)
        assert len(of.model.sessions) == 1
        call.hangup()


async def test_an_endpoint_that_is_down_for_3_s_costs_no_call_and_is_not_stormed() -> None:
    count = 10
    async with rig() as of:
        calls = [await of.switch.call() for _ in range(count)]
        await asyncio.gather(*(greeted(call, 30) for call in calls))
        of.model.faults = ModelFaults(too_many=True)
        for session in of.model.sessions:
            await session.close(1011, "going down")
        await asyncio.sleep(3)
        of.model.faults = ModelFaults()
        await until(lambda: len(of.model.sessions) == 2 * count, 12)
        assert of.model.refused <= count + 5
        assert all(call.cause == "" for call in calls)
        for call in calls:
            call.hangup()
        await of.no_calls()


async def test_a_caller_whose_model_begins_and_says_nothing_is_told() -> None:
    async with rig(model=faulty(stall_after_ms=0)) as of:
        call = await of.switch.call()
        await call.wait_heard(timeout=4.5)
        await call.wait_silence(0.5)
        said, rate = sounds.load("moment", "en")
        assert correlation(frames(call), convert(said, rate, call.rate)) > 0.9
        assert len(of.model.sessions) == 1, "it was given up by then"
        call.hangup()


async def test_audio_that_is_split_within_samples_is_heard_as_it_is() -> None:
    settings = {"AGENT_AUDIO": "pcm"}
    async with rig(settings=settings, model=faulty(odd_deltas=True)) as of:
        call = await of.switch.call()
        await greeted(call)
        assert correlation(frames(call), spoken(of, 0, call.rate)) > 0.95
        call.hangup()


@pytest.mark.parametrize(
    ("asked", "confirmed", "confirmed_rate"),
    [
        ("pcm", "audio/pcmu", 8000),
        ("pcmu", "audio/pcma", 8000),
        ("pcm", "audio/pcm", 16000),
        ("pcmu", "audio/pcm", 48000),
    ],
)
async def test_a_model_that_insists_on_another_format_is_heard_and_hears(
    asked: str, confirmed: str, confirmed_rate: int
) -> None:
    settings = {"AGENT_AUDIO": asked}
    model = faulty(confirm_audio=confirmed, confirm_rate=confirmed_rate)
    with capture_logs() as logs:
        async with rig(settings=settings, model=model) as of:
            call = await of.switch.call()
            await greeted(call)
            assert correlation(frames(call), spoken(of, 0, call.rate)) > 0.95
            await say(call)
            await until(lambda: of.model.sessions[0].record.turns == 1)
            heard, rate = of.model.sessions[0].record.heard()
            assert rate == confirmed_rate
            said, own = sounds.load("caller_interrupts", "en")
            assert correlation(heard, convert(said, own, rate)) > 0.9
            call.hangup()
    told = [line for line in logs if line["event"].startswith("the model confirmed other audio")]
    assert len(told) == 1


@pytest.mark.parametrize("fault", ["refuse_transcription", "fail_transcripts"])
async def test_transcripts_that_cannot_be_had_cost_nothing_else(fault: str) -> None:
    with capture_logs() as logs:
        async with rig(model=faulty(**{fault: True})) as of:
            call = await of.switch.call()
            await greeted(call)
            for _ in range(2):
                await say(call)
                await greeted(call)
            call.hangup()
            await of.no_calls()
            assert len([note for note in await noted(of, call) if UNTRANSCRIBED in note]) == 1
            assert (await of.record(call.uuid))["outcome"] == "completed"
            assert len(of.model.sessions) == 1
    assert len([line for line in logs if line["event"] == UNTRANSCRIBED]) == 1


async def test_a_model_that_stops_in_mid_message_is_replaced_before_it_is_needed() -> None:
    async with rig(model=faulty(freeze=True)) as of:
        call = await of.switch.call()
        await greeted(call)
        of.model.faults = ModelFaults()
        await until(lambda: len(of.model.sessions) == 2, 5)
        await until(lambda: of.model.sessions[1].record.append_count > 10, 5)
        await say(call)
        await until(lambda: bool(of.model.sessions[1].record.spoken), 5)
        call.hangup()


class Forgetful(ModelSession):
    """Loses the connection when the caller has spoken, before it knows their words."""

    async def _end_turn(self, item_id: str, audio: bytes) -> None:
        if len(_sessions) == 1:
            await self.close(1011, "internal_error")
        else:
            await super()._end_turn(item_id, audio)


_sessions: list[ModelSession] = []


async def test_a_new_connection_asks_for_the_turn_that_the_old_one_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ModelStandIn, "session", Forgetful)
    async with rig() as of:
        monkeypatch.setattr(f"{__name__}._sessions", of.model.sessions)
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        await until(lambda: len(of.model.sessions) == 2 and bool(replies(of, 1)), 5)
        assert replies(of, 1)[0]["instructions"].endswith(f"# Do this now\n{ASK_AGAIN}")
        call.hangup()


class Late(ModelSession):
    """Sends more of its first response whenever it begins another one."""

    first = ""

    async def _begin(self, metadata: dict[str, str] | None) -> Any:
        response = await super()._begin(metadata)
        self.first = self.first or response.id
        if response.id != self.first:
            await self._sender.emit(
                "response.output_audio.delta",
                response_id=self.first,
                item_id="late",
                output_index=0,
                content_index=0,
                delta="fn9+" * 1000,
            )
        return response


async def test_a_late_piece_of_a_cancelled_response_is_not_heard_and_silences_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ModelStandIn, "session", Late)
    secretary = "[barge_in]\nduring_greeting = true"
    async with rig(model={"greeting": "greeting", "pace": 2.0}, secretary=secretary) as of:
        call = await of.switch.call()
        await call.wait_heard(timeout=5)
        await say(call)  # into the greeting
        record = of.model.sessions[0].record
        await until(lambda: len(record.spoken) == 2, 5)
        await call.wait_heard(timeout=5)
        await say(call)  # into the answer
        await until(lambda: len(record.spoken) == 3, 10)
        await greeted(call)
        assert record.sent["response.done"] == 3
        said = spoken(of, 2, call.rate)
        assert correlation(frames(call)[-int(said.size + call.rate) :], said) > 0.9
        assert "late" not in [turn["text"] for turn in (await of.record(call.uuid))["turns"]]
        call.hangup()
    assert np.any(said)


def told(of: Rig, session: int) -> list[tuple[str, str]]:
    """Who said what before this session, as the model was told."""
    events = of.model.sessions[session].record.client_events
    items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
    return [(item["role"], item["content"][0]["text"]) for item in items]


async def test_a_model_that_is_lost_in_mid_answer_leaves_no_question_untold() -> None:
    """Its answer has begun, and the words that it answers have not come."""
    async with rig(model={**faulty(fail_transcripts=True), "pace": 1.0}) as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        record = of.model.sessions[0].record
        await until(lambda: len(record.spoken) == 2, 5)
        await call.wait_heard(timeout=5)
        await asyncio.sleep(0.3)
        await of.model.sessions[0].close(1011, "internal_error")
        await until(lambda: len(of.model.sessions) == 2 and bool(replies(of, 1)), 5)
        greeting, question, answer = told(of, 1)
        assert (greeting[0], answer[0]) == ("assistant", "assistant")
        assert question == ("user", WORDS_LOST)
        assert replies(of, 1)[0]["instructions"].endswith(f"# Do this now\n{CONTINUE}")
        call.hangup()
