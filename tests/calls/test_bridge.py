"""Whole calls that are bridged to somebody and come back, between the stand-ins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from esl_controller.call.ending import RETURNS
from esl_controller.call.hops import LEGS, TRANSFERS
from esl_controller.freeswitch.transfers import Transfers
from esl_controller.session.closing import HUNG_UP
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, Ladder, api
from esl_controller.simulator.model import ModelFaults, ScriptedCall
from tests.calls.rig import Rig, greeted, rig, words
from tests.calls.test_resume import Shop, sessions, shop
from tests.calls.test_talking import replies, say
from tests.server.test_outbox import Receiver, listening
from tests.waiting import until

DESK = """
language = "en"
[limits]
max_call_s = 3000
[[destinations]]
name = "Desk"
number = "1001"
timeout_s = 5
come_back = true
"""
TO_THE_DESK = ScriptedCall(1, "transfer_call", '{"destination": "Desk"}')
TALKS = [
    DialplanAction("answer"),
    DialplanAction("playback", "tone_stream://%(1000,0,700)"),
    DialplanAction("hangup"),
]
BUSY = [DialplanAction("hangup", "USER_BUSY")]
ASKS_FOR_MORE = "connected to Desk and is back"
LADDER = Ladder(wait=0.05)


def desk(actions: Sequence[DialplanAction], **model: Any) -> Any:
    """A rig whose Desk does this."""
    model = {"script": (TO_THE_DESK,), **model}
    return rig(model=model, secretary=DESK, extensions={"1001": actions}, ladder=LADDER)


async def back(of: Rig, session: int = 1) -> str:
    """Wait until the caller is back; what the model is to say first."""
    await until(lambda: len(of.model.sessions) > session and bool(replies(of, session)), 20)
    return str(replies(of, session)[0]["instructions"])


def results(of: Rig | Shop, session: int) -> list[str]:
    """The results of function calls that a session of the model knows of."""
    events = of.model.sessions[session].record.client_events
    items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def notes(stored: dict[str, Any]) -> list[str]:
    """What the record notes."""
    return [note["text"] for note in stored["notes"]]


async def asks_for_the_desk(of: Rig, call: CallStandIn) -> None:
    await greeted(call)
    await say(call)


async def test_a_drain_does_not_wait_for_who_talks_to_somebody_else() -> None:
    async with desk(
        [DialplanAction("answer"), DialplanAction("sleep", "20000"), DialplanAction("hangup")]
    ) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await of.no_calls(20)
        async with asyncio.timeout(1):
            await of.controller.calls.drain(60.0)
        assert call.cause == "", "they still talk"
        call.hangup()


async def test_who_has_talked_to_somebody_comes_back_and_is_asked_for_more() -> None:
    async with desk(TALKS) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        assert ASKS_FOR_MORE in await back(of)
        assert "come back" in results(of, 1)[0]
        await greeted(call)
        await say(call)  # and the conversation goes on
        await until(lambda: len(replies(of, 1)) > 1)
        limits = [group for group, tasks in of.switch.scheduled.items() for _ in tasks]
        assert limits == [call.uuid], "one limit, the new one, and nothing else"
        (session,) = of.controller.calls.calls.values()
        await until(lambda: "leaves: Desk" in session.call.describe())
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
    assert stored["outcome"] == "completed"
    assert [text.partition(",")[0] for text in notes(stored)] == [
        "the caller was transferred to Desk",
        "the caller came back from Desk",
    ]
    # The second one was asked for right before the caller hung up.
    assert [(tool["name"], tool["output"]) for tool in stored["tools"]] == [
        ("transfer_call", '{"status": "done; the caller has come back"}'),
        ("transfer_call", HUNG_UP),
    ]


async def test_who_has_reached_nobody_is_told_so_and_no_controller_was_lost() -> None:
    async with desk(BUSY) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        assert "the line is busy" in await back(of)
        stored = await of.record(call.uuid)
        assert "USER_BUSY" in results(of, 1)[0]
        assert notes(stored)[1].endswith(": not reached (USER_BUSY)")
        assert not [text for text in notes(stored) if "lost" in text]
        call.hangup()


async def test_who_does_not_answer_in_time_is_given_up_and_the_caller_is_told() -> None:
    rings = [DialplanAction("ring_ready"), DialplanAction("sleep", "60000")]
    async with desk(rings) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        began = time.monotonic()
        assert "nobody answered" in await back(of)
        assert 4 < time.monotonic() - began < 10, "timeout_s"
        assert len(of.switch.sessions) == 1, "a leg is left"
        call.hangup()


async def test_a_caller_who_hangs_up_meanwhile_is_gone_for_good() -> None:
    async with desk([DialplanAction("answer"), DialplanAction("park")]) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await of.no_calls(15)
        await until(lambda: call.variables.get("originate_disposition") == "SUCCESS")
        call.hangup()
        await until(lambda: not of.switch.sessions)
        assert len(of.model.sessions) == 1
        stored = await of.record(call.uuid)
    assert (stored["outcome"], len(notes(stored))) == ("transferred", 1)


async def test_a_call_goes_round_so_often_and_no_more() -> None:
    async with desk(BUSY) as of:
        call = await of.switch.call()
        await greeted(call)
        of.controller.calls.calls[call.uuid].call.conversation._ending.returns = RETURNS
        await say(call)
        assert await call.ended(timeout=15) == "USER_BUSY", "the destination has the caller"


async def test_nothing_is_sent_by_the_lane_while_the_switch_transfers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_command: list[int] = []
    transfer = Transfers.transfer

    async def seen(transfers: Transfers, *arguments: Any) -> None:
        at_command.append(len(of.controller.clock.lanes))
        await transfer(transfers, *arguments)

    monkeypatch.setattr(Transfers, "transfer", seen)
    async with desk(BUSY) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await back(of)
        call.hangup()
    assert at_command == [0]


async def test_a_dialplan_without_a_way_home_transfers_for_good() -> None:
    old = Ladder(anew=False)
    extensions = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
    model = {"script": (TO_THE_DESK,)}
    async with rig(model=model, secretary=DESK, extensions=extensions, ladder=old) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await of.no_calls(15)
        assert of.switch.sessions[call.uuid].channel.profile.number == "1001"
        call.hangup()


NOWHERE = """
language = "en"
[[destinations]]
name = "Desk"
number = "1001"
"""


async def test_by_default_who_reaches_nobody_comes_back_and_nobody_else() -> None:
    """Whether anybody was reached is known to the switch only."""
    model = {"script": (TO_THE_DESK,)}
    busy = {"1001": BUSY}
    async with rig(model=model, secretary=NOWHERE, extensions=busy, ladder=LADDER) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        assert "the line is busy" in await back(of)
        call.hangup()
    talks = {"1001": TALKS}
    async with rig(model=model, secretary=NOWHERE, extensions=talks, ladder=LADDER) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        assert await call.ended(15) == "NORMAL_CLEARING"
        await until(lambda: not of.controller.calls._connections)
        stored = await of.record(call.uuid)
        assert (len(of.model.sessions), stored["outcome"]) == (1, "transferred")
        (tool,) = stored["tools"]
        assert (tool["name"], tool["output"]) == ("transfer_call", '{"status": "done"}')


@pytest.mark.parametrize(
    ("there", "cause"),
    [
        ({"1001": BUSY}, "USER_BUSY"),
        ({}, "NO_ROUTE_DESTINATION"),
        ({"1001": [DialplanAction("bridge", "user/1001")]}, "SUBSCRIBER_ABSENT"),
    ],
)
async def test_who_is_not_to_come_back_and_reaches_nobody_is_not_called_transferred(
    there: dict[str, Sequence[DialplanAction]], cause: str
) -> None:
    receiver = Receiver()
    async with listening(receiver) as url:
        never = f'{NOWHERE}come_back = false\n[events]\ncall_ended_url = "{url}"\n'
        async with rig(model={"script": (TO_THE_DESK,)}, secretary=never, extensions=there) as of:
            call = await of.switch.call()
            await asks_for_the_desk(of, call)
            assert await call.ended(15) == cause
            await receiver.received(2)
            stored = await of.record(call.uuid)
    assert (stored["outcome"], stored["cause"]) == ("not reached", cause)
    told = f"the transferred caller reached nobody ({cause}), and the call ended"
    assert notes(stored)[-1] == told
    assert stored["tools"][0]["output"] == f'{{"error": "not reached ({cause})"}}'


MAILBOX = [
    DialplanAction("set", "continue_on_fail=true"),
    DialplanAction("bridge", "user/1001"),
    DialplanAction("answer"),
    DialplanAction("playback", "tone_stream://%(1000,0,700)"),
    DialplanAction("hangup"),
]


@pytest.mark.parametrize("come_back", ["false", '"unreached"', "true"])
async def test_a_mailbox_in_the_place_of_somebody_is_told(come_back: str) -> None:
    """The bridge succeeds; only the far leg knows that nobody was there."""
    secretary = f"{NOWHERE}come_back = {come_back}\n"
    there = {"1001": MAILBOX}
    model = {"script": (TO_THE_DESK,)}
    async with rig(model=model, secretary=secretary, extensions=there, ladder=LADDER) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        if come_back == "true":
            assert "a mailbox or an announcement answered" in await back(of)
            assert "SUBSCRIBER_ABSENT" in results(of, 1)[0]
            call.hangup()
            await of.no_calls()
        else:
            assert await call.ended(15) == "NORMAL_CLEARING"
        await until(lambda: not of.controller.calls._connections)
        stored = await of.record(call.uuid)
    machine = "a mailbox or an announcement answered (SUBSCRIBER_ABSENT)"
    assert machine in notes(stored)[-1]
    assert machine in stored["tools"][0]["output"]
    assert stored["outcome"] == ("completed" if come_back == "true" else "transferred")


@pytest.mark.parametrize("come_back", ["false", "true"])
async def test_who_is_sent_back_without_that_promise_begins_anew(come_back: str) -> None:
    """Somebody transfers the caller to our number. What was said before is not for whoever names
    the channel of a call that was given away."""
    secretary = f"{NOWHERE}come_back = {come_back}\n"
    there = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
    model = {"script": (TO_THE_DESK,)}
    async with rig(model=model, secretary=secretary, extensions=there, ladder=LADDER) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await of.no_calls(15)
        if come_back == "true":
            await until(lambda: call.variables.get("originate_disposition") == "SUCCESS", 15)
        await of.switch.api("uuid_transfer", f"{call.uuid} 8000 XML default")
        words = await back(of)
        events = of.model.sessions[1].record.client_events
        known = [event for event in events if event["type"] == "conversation.item.create"]
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
    assert bool(known) == (come_back == "true")
    assert (ASKS_FOR_MORE in words) == (come_back == "true")
    assert ("Greet the caller" in words) == (come_back == "false")
    anew = "to Desk for good, and is here again: the conversation begins anew"
    assert notes(stored)[-1].endswith(anew) == (come_back == "false")
    assert stored["outcome"] == "completed"
    assert len({turn["number"] for turn in stored["turns"]}) == len(stored["turns"]) >= 3


OURSELVES = """
language = "en"
fallback = "Desk"
[[destinations]]
name = "Desk"
number = "8000"
timeout_s = 5
come_back = COME_BACK
"""


@pytest.mark.parametrize(
    ("come_back", "outcome"),
    # With a way back the caller is bridged to a second call, which says sorry.
    [("true", "transferred"), ("false", "model lost"), ('"unreached"', "transferred")],
)
async def test_a_fallback_that_leads_back_to_us_is_tried_once(come_back: str, outcome: str) -> None:
    """The model is away: there were 58 handovers in 34 s, and the caller heard nothing."""
    secretary = OURSELVES.replace("COME_BACK", come_back)
    gone = {"faults": ModelFaults(refuse_key="http")}
    async with rig(model=gone, secretary=secretary, ladder=LADDER) as of:
        call = await of.switch.call()
        most = 1
        with capture_logs() as logs:
            async with asyncio.timeout(20):
                while not call.cause:
                    most = max(most, len(of.switch.sessions))
                    await asyncio.sleep(0.01)
        await until(lambda: not of.switch.sessions)
        await of.no_calls()
        assert of.controller.calls.taken <= 3
        assert most <= 3, "channels pile up"
        assert "no transfer to the fallback" in {line["event"] for line in logs}
        assert (await of.record(call.uuid))["outcome"] == outcome


async def test_a_caller_who_was_sent_round_often_enough_is_not_sent_on() -> None:
    """A destination leads back to our own number: what a call inherits bounds the round."""
    model = {"script": (TO_THE_DESK,)}
    async with rig(model=model, secretary=OURSELVES.replace("COME_BACK", "true")) as of:
        with capture_logs() as logs:
            call = await of.switch.call(variables={"controller_hops": f"{TRANSFERS}.0.1"})
            await asks_for_the_desk(of, call)
            await until(lambda: "no transfer to Desk" in {line["event"] for line in logs}, 15)
        await until(lambda: "may lead back" in "".join(results(of, 0)))
        call.hangup()


@pytest.mark.parametrize(("legs", "channels"), [(0, 3), (LEGS, 1)])
async def test_a_leg_inherits_the_count_and_channels_do_not_pile_up(
    legs: int, channels: int
) -> None:
    async with desk([DialplanAction("answer"), DialplanAction("park")]) as of:
        call = await of.switch.call(variables={"controller_hops": f"2.1.{legs}"})
        await asks_for_the_desk(of, call)
        await of.no_calls(15)
        await until(lambda: call.variables["controller_hops"] == f"3.1.{legs}")
        await until(lambda: len(of.switch.sessions) == channels)
        inherited = {
            session.channel.variables.get("controller_hops")
            for session in of.switch.sessions.values()
            if session.channel.uuid != call.uuid
        }
        assert inherited == ({"3.1.1"} if channels > 1 else set())
        call.hangup()
        await until(lambda: not of.switch.sessions)


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_recording_stops_at_the_transfer(tmp_path: Path, goes_on: bool) -> None:
    folder = tmp_path / "all calls"
    folder.mkdir()
    secretary = DESK + f"[recording]\nstereo = true\nafter_transfer = {str(goes_on).lower()}\n"
    settings = {"FREESWITCH_RECORDINGS": str(folder)}
    talks = {"1001": TALKS}
    async with rig(
        settings=settings,
        model={"script": (TO_THE_DESK,)},
        secretary=secretary,
        extensions=talks,
        ladder=LADDER,
    ) as of:
        call = await of.switch.call()
        recordings = of.switch.sessions[call.uuid].channel.recordings
        await greeted(call)
        assert list(recordings) == [f"{folder}/{call.uuid}.wav"]
        assert call.variables["record_path"] == str(folder)
        assert call.variables["record_name"] == f"{call.uuid}.wav"
        await say(call)
        await until(lambda: call.variables.get("originate_disposition") == "SUCCESS", 15)
        assert bool(recordings) == goes_on
        await back(of)
        await until(lambda: len(recordings) == 1)
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
    assert stored["recording"] == f"{folder}/{call.uuid}.wav"
    assert ("the recording stopped" in " ".join(notes(stored))) == (not goes_on)


async def test_a_recording_that_cannot_be_stopped_at_the_transfer_is_not_said_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = api.COMMANDS["uuid_record"]

    def refusing(switch: Any, arg: str) -> str:
        stop = arg.split(" ")[1] == "stop"
        return "-ERR Cannot stop record session!\n" if stop else record(switch, arg)

    monkeypatch.setitem(vars(api)["COMMANDS"], "uuid_record", refusing)
    async with rig(
        settings={"FREESWITCH_RECORDINGS": str(tmp_path)},
        model={"script": (TO_THE_DESK,)},
        secretary=DESK + "[recording]\nstereo = true\n",
        extensions={"1001": TALKS},
        ladder=LADDER,
    ) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await back(of)
        call.hangup()
        await of.no_calls()
        told = notes(await of.record(call.uuid))
    assert told[:2] == [
        "the recording could not be stopped at the transfer, and may go on:"
        " uuid_record: -ERR Cannot stop record session!",
        "the caller was transferred to Desk",
    ]


@pytest.mark.parametrize("again", ["before the return", "after the return"])
async def test_a_controller_that_is_killed_while_the_caller_is_away(
    tmp_path: Path, again: str
) -> None:
    async with shop(tmp_path, DESK, script=(TO_THE_DESK,), greeting="caller") as of:
        away = DialplanAction("playback", "tone_stream://%(4000,0,700)")
        of.switch.extensions["1001"] = [DialplanAction("answer"), away, DialplanAction("hangup")]
        first = await of.controller()
        call = await of.switch.call()
        await greeted(call)
        pcm, rate = words()
        call.speak(pcm, rate)
        await until(lambda: len(of.switch.sessions) == 3, 20)
        first.kill()
        await first.process.wait()
        if again == "after the return":
            await until(lambda: len(of.switch.sessions) == 1, 20)
        await of.controller()
        await until(lambda: sessions(of, 2) and bool(of.asked(1)), 30)
        assert ASKS_FOR_MORE in of.asked(1)[0]
        call.hangup()
        stored = await of.record(call, lambda stored: stored.outcome == "completed")
    told = [note.text.partition(",")[0] for note in stored.notes]
    assert told[-1] == "the caller came back from Desk"
    assert not [text for text in told if "lost" in text]
