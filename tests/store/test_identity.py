"""A channel gets the conversation of its own call only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from esl_controller.store import NotThisCall, Store
from esl_controller.store.identity import Identity, misfit
from esl_controller.store.records import CallEnded, SnapshotSaved
from tests.store.samples import AT, STARTED, UUID

KNOWN = Identity("tenant", 1_795_392_000_000_000, answered=True)


@pytest.mark.parametrize(
    ("comes", "why"),
    [
        (KNOWN, ""),
        (replace(KNOWN, domain_uuid="another"), "another domain's"),
        (replace(KNOWN, created_us=KNOWN.created_us + 1), "at another time"),
        (replace(KNOWN, answered=False), "answered before"),
    ],
)
@pytest.mark.parametrize("outcome", ["", "interrupted", "lost", "transferred"])
def test_all_that_is_known_has_to_fit(comes: Identity, why: str, outcome: str) -> None:
    found = misfit(KNOWN, comes, outcome)
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize("outcome", ["completed", "model lost"])
def test_what_has_ended_never_comes_back(outcome: str) -> None:
    assert misfit(KNOWN, KNOWN, outcome) == "the call has ended"


def test_of_a_call_whose_start_was_not_recorded_all_may_be_so() -> None:
    assert misfit(Identity("", 0, answered=False), KNOWN) == ""
    assert "domain" in misfit(Identity("another", 0, answered=False), KNOWN)


async def test_a_stranger_gets_nothing_and_changes_nothing(store: Store) -> None:
    store.put(replace(STARTED, created_us=KNOWN.created_us))
    store.put(SnapshotSaved(UUID, 0, "what it knows"))
    for stranger in (replace(KNOWN, domain_uuid="x"), replace(KNOWN, created_us=1)):
        with pytest.raises(NotThisCall):
            await store.claim(UUID, "b", stranger)
        assert await store.misfit(UUID, stranger)
    assert "answered" in await store.misfit(UUID, replace(KNOWN, answered=False))
    assert await store.claimed_by_others({UUID: 0}) == []
    claimed = await store.claim(UUID, "b", KNOWN)
    assert (claimed.epoch, claimed.snapshot) == (1, "what it knows")


async def test_what_has_ended_is_not_claimed(store: Store) -> None:
    store.put(replace(STARTED, created_us=KNOWN.created_us))
    store.put(CallEnded(UUID, AT + 2.0, "NORMAL_CLEARING", "completed"))
    with pytest.raises(NotThisCall, match="has ended"):
        await store.claim(UUID, "b", KNOWN)
    await store.flush()
    call = await store.call(UUID)
    assert call is not None
    assert (call.outcome, call.ended_at) == ("completed", AT + 2.0), "its record stays as it is"
    assert await store.misfit("unknown", KNOWN) == ""
