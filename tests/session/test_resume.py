"""What a process takes up of a call that was elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from esl_controller.call.agent import Called, Said, ToolCall, Usage
from esl_controller.call.records import Claimed, ToolUsed, Turn
from esl_controller.call.snapshot import SOMEBODY, Resumption, Snapshot, StoredSnapshot, dump, load
from esl_controller.freeswitch.channel import Channel
from esl_controller.session.call_clock import CallClock
from esl_controller.session.resume import SnapshotKeeper
from esl_controller.store.records import Change, Noted, SnapshotSaved
from tests.call.world import tool_call

UUID = "8f045ec3-c1d9-47ba-8369-9955c1dfc4f2"
NOW_US = 1_795_392_000_000_000
CALL = tool_call("transfer_call", destination="Sales")
LEAVING = Snapshot(leaving="Sales", leaving_call="c1", pending=(CALL,), returns=1, ends_at=50.0)


class NoDialogue:
    """Nothing was said, but for ``history``."""

    reported = usage = Usage()

    def __init__(self, *, cut: bool = False, history: Sequence[Said | Called] = ()) -> None:
        self.cut = cut
        self.history = history

    def resume(self, claimed: Claimed, lost_at: float) -> tuple[list[Any], bool]:
        self.claimed = claimed
        return list(self.history), self.cut

    def tools_pending(self, calls: Sequence[ToolCall]) -> None:
        """Not of interest here."""


def recall(put: list[Change], age_s: str = "0", **variables: str) -> SnapshotKeeper:
    told = {f"variable_{name}": value for name, value in variables.items()}
    headers = {"Unique-ID": UUID, "Event-Date-Timestamp": str(NOW_US), **told}
    headers["Caller-Channel-Created-Time"] = str(NOW_US - int(age_s) * 1_000_000)
    return SnapshotKeeper(Channel.parse(headers), NoDialogue(), put.append, CallClock(0.0))  # type: ignore[arg-type]


def resumed(memory: Snapshot, **variables: str) -> tuple[Resumption, list[str]]:
    """What it makes of ``memory``, by the loop's clock; and its notes."""
    put: list[Change] = []
    offset = time.time() - asyncio.get_running_loop().time()
    stored = dump(StoredSnapshot(memory.shifted(offset)))
    resumption = recall(put, **variables).resume(Claimed(3, stored))
    assert resumption is not None
    return resumption, [change.text for change in put if isinstance(change, Noted)]


@pytest.mark.parametrize("jump_s", [-7200.0, 7200.0])
async def test_a_limit_is_no_longer_if_the_clock_was_set_meanwhile(jump_s: float) -> None:
    """What was saved at an age of 100 s is taken up at 130 s, by the switch's clock."""
    left_s, saved_at = 600.0, time.time() - 30 + jump_s
    stored = StoredSnapshot(Snapshot(ends_at=saved_at + left_s), saved_at=saved_at, age_s=100.0)
    keeper = recall([], age_s="130")
    resumption = keeper.resume(Claimed(3, dump(stored)))
    assert resumption is not None
    ends_s = resumption.snapshot.ends_at - asyncio.get_running_loop().time()
    assert ends_s == pytest.approx(left_s - 30, abs=1)


def away(returns: int, disposition: str = "SUCCESS") -> dict[str, str]:
    """What the switch says after so many transfers with a way back, the last one 90 s ago."""
    return {
        "controller_returns": str(returns),
        "controller_left_at": str(NOW_US - 90_000_000),
        "originate_disposition": disposition,
    }


async def test_a_sentence_that_was_cut_goes_on_after_a_second_loss() -> None:
    put: list[Change] = []
    memory = dump(StoredSnapshot(Snapshot(leaving="hangup")))
    for number in (1, 2):  # the second time the turn is written down as ended
        dialogue = NoDialogue(cut=number == 1)
        channel, clock = Channel.parse({"Unique-ID": UUID}), CallClock(0.0)
        taken = SnapshotKeeper(channel, dialogue, put.append, clock)  # type: ignore[arg-type]
        resumption = taken.resume(Claimed(number, memory))
        assert resumption is not None
        assert resumption.cut
        memory = next(change.snapshot for change in put if isinstance(change, SnapshotSaved))
    taken.save(Snapshot(leaving="hangup", goodbye="Go on."))
    assert isinstance(put[-1], SnapshotSaved)
    stored = load(put[-1].snapshot)
    assert stored is not None
    assert not stored.cut


async def test_a_call_that_lost_its_controller_goes_on_with_what_it_was_about_to_do() -> None:
    resumption, notes = resumed(LEAVING, **away(1), controller_lost_at=str(NOW_US - 2_500_000))
    assert (resumption.snapshot.leaving, resumption.snapshot.back_from, resumption.away_s) == (
        "Sales",
        "",
        2.5,
    )
    assert resumption.snapshot.ends_at == pytest.approx(50.0, abs=0.1)
    assert notes == ["a controller was lost; the call went on after 2.5 s"]


@pytest.mark.parametrize("written", [True, False], ids=["written", "killed before"])
async def test_a_caller_who_comes_back_is_not_transferred_again(written: bool) -> None:
    memory = LEAVING.after_transfer if written else LEAVING
    resumption, notes = resumed(memory, **away(2))
    assert (
        resumption.snapshot.leaving,
        resumption.snapshot.back_from,
        resumption.snapshot.returns,
    ) == (
        "",
        "Sales",
        2,
    )
    assert resumption.snapshot.exit_call == CALL
    assert (resumption.unreached, resumption.away_s) == ("", 0.0)
    assert resumption.snapshot.ends_at == pytest.approx(140.0, abs=0.1), "the limit stood still"
    assert notes == ["the caller came back from Sales, 90 s after the transfer"]


async def test_who_began_anew_is_not_told_the_rest_after_a_loss_either() -> None:
    put: list[Change] = []
    given_away = StoredSnapshot(replace(LEAVING, for_good=True, back_from="Sales"))
    first = recall(put)
    before = Turn(UUID, 1, "caller", "My number is 77.", "My number is 77.", time.time() - 9)
    asked = ToolUsed(UUID, "c1", "find", "{}", "{}", time.time() - 8, 5)
    assert first.resume(Claimed(1, dump(given_away), [before], [asked])) is None
    first.save(Snapshot(greeted=True))
    after = replace(before, number=2, text="Hello?", started_at=time.time())
    for epoch in (2, 3):
        (*_, saved) = (change.snapshot for change in put if isinstance(change, SnapshotSaved))
        again = recall(put)
        assert again.resume(Claimed(epoch, saved, [before, after], [asked])) is not None
        again.save(Snapshot(greeted=True, turns=epoch))
        dialogue = again._agent_session
        assert isinstance(dialogue, NoDialogue)
        assert (dialogue.claimed.turns, dialogue.claimed.tools) == ([after], [])


async def test_a_caller_who_has_reached_nobody_comes_back_with_the_cause() -> None:
    resumption, notes = resumed(LEAVING.after_transfer, **away(2, "USER_BUSY"))
    assert resumption.unreached == "USER_BUSY"
    assert notes[0].endswith(": not reached (USER_BUSY)")


async def test_a_caller_who_has_reached_a_mailbox_comes_back_with_that() -> None:
    told = away(2) | {"controller_instead": "NO_ANSWER"}
    resumption, notes = resumed(LEAVING.after_transfer, **told)
    assert (resumption.unreached, resumption.instead) == ("", "NO_ANSWER")
    assert notes[0].endswith(": a mailbox or an announcement answered (NO_ANSWER)")


async def test_of_who_is_sent_back_by_others_the_switch_tells_nothing() -> None:
    """The last transfer was for good; what the channel says is of the one before it."""
    resumption, notes = resumed(LEAVING.after_transfer, **away(1, "USER_BUSY"))
    assert (resumption.snapshot.back_from, resumption.unreached) == ("Sales", "")
    assert resumption.snapshot.ends_at == pytest.approx(50.0, abs=0.1)
    assert notes == ["the caller came back from Sales"]
    left_at = asyncio.get_running_loop().time() - 600
    resumption, _ = resumed(
        replace(LEAVING.after_transfer, left_at=left_at), **away(1, "USER_BUSY")
    )
    assert resumption.snapshot.ends_at == pytest.approx(650.0, abs=0.2), (
        "the limit is for the time with us"
    )


async def test_a_transfer_before_anything_was_said_here_keeps_what_was_known() -> None:
    put: list[Change] = []
    of = recall(put)
    now = time.time()
    of.resume(Claimed(1, dump(StoredSnapshot(Snapshot(ends_at=now + 100, greeted=True, turns=3)))))
    of.transferred()
    stored = load(next(c.snapshot for c in reversed(put) if isinstance(c, SnapshotSaved)))
    assert stored is not None
    assert (stored.memory.turns, stored.memory.greeted) == (3, True)
    assert stored.memory.ends_at == pytest.approx(now + 100, abs=0.2)
    assert stored.memory.left_at == pytest.approx(now, abs=0.2)


async def test_a_sentence_that_was_cut_is_cut_until_its_rest_is_heard() -> None:
    put: list[Change] = []
    of = recall(put)
    of.resume(Claimed(1, dump(StoredSnapshot(Snapshot(greeted=True), cut=True))))

    def cut() -> bool:
        stored = load(next(c.snapshot for c in reversed(put) if isinstance(c, SnapshotSaved)))
        assert stored is not None
        return stored.cut

    of.save(Snapshot(greeted=True, owes=True))
    assert cut(), "lost again before the model speaks, it goes on all the same"
    of.save(Snapshot(greeted=True, turns=1))
    assert not cut()
    of.save(Snapshot(greeted=True, owes=True, turns=2))
    assert not cut()


async def test_a_transfer_is_noted_and_remembered() -> None:
    put: list[Change] = []
    of = recall(put)
    of.save(LEAVING)
    of.transferred()
    (note,) = (change for change in put if isinstance(change, Noted))
    *_, last = (change for change in put if isinstance(change, SnapshotSaved))
    stored = load(last.snapshot)
    assert stored is not None
    assert note.text == "the caller was transferred to Sales"
    assert (stored.memory.back_from, stored.memory.returns) == ("Sales", 2)


def test_who_went_to_nobody_knows_whom_comes_back_all_the_same() -> None:
    assert Snapshot().after_transfer.back_from == SOMEBODY


@pytest.mark.parametrize(
    ("last", "unknown"),
    [
        (Said("agent", "Clinic, hello."), True),
        (Said("caller", "Do you have a table?"), False),
        (Called("c1", "find", "{}", "{}"), False),  # for the caller, who is not asked again
    ],
)
async def test_whose_words_are_on_record_or_were_acted_upon_need_not_say_them_again(
    last: Said | Called, unknown: bool
) -> None:
    dialogue, channel = NoDialogue(history=[last]), Channel.parse({"Unique-ID": UUID})
    keeper = SnapshotKeeper(channel, dialogue, [].append, CallClock(0.0))  # type: ignore[arg-type]
    resumption = keeper.resume(Claimed(1, dump(StoredSnapshot(Snapshot(owes=True)))))
    assert resumption is not None
    assert resumption.words_unknown is unknown


@pytest.mark.parametrize(
    ("variables", "recorded"),
    [
        ({}, True),
        ({"controller_stopped": "-ERR"}, True),
        ({"controller_stopped": "+OK"}, False),
    ],
)
async def test_a_recording_that_the_dialplan_has_stopped_is_begun_again(
    variables: dict[str, str], recorded: bool
) -> None:
    stored = StoredSnapshot(Snapshot(), recording="/a/b.wav")
    resumption = recall([], **variables).resume(Claimed(3, dump(stored)))
    assert resumption is not None
    assert resumption.recorded == recorded
