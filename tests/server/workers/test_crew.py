"""Which workers there should be: by events and times, without a process."""

from __future__ import annotations

import random

import pytest

from esl_controller.server.workers.crew import (
    EXTRA,
    RETRY_S,
    SILENT_S,
    START_S,
    STOP_S,
    Begin,
    Crew,
    Kill,
    Start,
    State,
    Step,
    Stop,
    Worker,
)


def kinds(steps: list[Step]) -> list[tuple[type[Step], int]]:
    return [(type(step), step.worker.slot) for step in steps]


def up(wanted: int) -> Crew:
    """All of them are there, with a spare."""
    crew = Crew(wanted)
    for _ in range(3 * wanted + 3):
        answer(crew, crew.decide(0.0))
    assert crew.complete
    return crew


def answer(crew: Crew, steps: list[Step], now: float = 0.0) -> None:
    """The processes do as they are told, at once."""
    for step in steps:
        match step:
            case Start(worker) if worker.state is State.STARTING:
                crew.told(worker, State.SPARE, now)
            case Begin(worker):
                crew.told(worker, State.READY, now)
            case Stop(worker) | Kill(worker):
                crew.ended(worker, now)


def in_state(crew: Crew, state: State) -> list[int]:
    return sorted(worker.slot for worker in crew.workers if worker.state is state)


def test_the_first_one_begins_at_once_and_alone() -> None:
    crew = Crew(4)
    first = crew.decide(0.0)
    assert kinds(first) == [(Start, 0), (Begin, 0)]
    assert crew.decide(0.1) == []
    crew.told(first[0].worker, State.READY, 2.0)
    assert kinds(crew.decide(2.0)) == [(Start, 1), (Start, 2), (Start, 3), (Start, 4)]


def test_what_it_tells_late_is_no_news() -> None:
    crew = Crew(1)
    first, _ = crew.decide(0.0)
    crew.told(first.worker, State.SPARE, 0.5)
    assert crew.decide(0.5) == [], "it was told to begin before"
    crew.told(first.worker, State.READY, 1.0)
    crew.told(first.worker, State.SPARE, 1.5)
    assert crew.taking == [first.worker]


def test_the_others_open_one_after_the_other() -> None:
    """The first one of them migrates the record, and each looks for free ports."""
    crew = Crew(3)
    first, _ = crew.decide(0.0)
    crew.told(first.worker, State.READY, 1.0)
    spares = [step.worker for step in crew.decide(1.0)]
    for spare in spares:
        crew.told(spare, State.SPARE, 2.0)
    assert kinds(crew.decide(2.0)) == [(Begin, 1)]
    assert crew.decide(2.1) == []
    crew.told(spares[0], State.READY, 2.2)
    assert kinds(crew.decide(2.2)) == [(Begin, 2)]
    crew.told(spares[1], State.READY, 2.3)
    assert crew.decide(2.3) == []
    assert in_state(crew, State.SPARE) == [3]


def test_the_spare_takes_the_place_of_one_that_dies() -> None:
    crew = up(2)
    (spare,) = in_state(crew, State.SPARE)
    assert crew.ended(crew.taking[0], 5.0)
    assert kinds(crew.decide(5.0))[0] == (Begin, spare)
    assert len(in_state(crew, State.STARTING)) == 1, "and another spare is started"


def test_settings_that_cannot_be_used_are_tried_once_then_less_and_less_often() -> None:
    crew, now = Crew(2), 0.0
    for after in (*RETRY_S, RETRY_S[-1]):
        start, _ = crew.decide(now)
        assert crew.ended(start.worker, now)
        assert crew.decide(now + after - 0.01) == []
        now += after


def test_new_settings_that_cannot_be_used_leave_the_workers_alone() -> None:
    crew = up(2)
    before = crew.taking
    crew.renew()
    spare, start = crew.decide(1.0)
    assert (type(spare), type(start)) == (Stop, Start)
    crew.ended(spare.worker, 1.1)
    assert crew.ended(start.worker, 1.5)
    for now in (2.0, 3.0, 4.0):
        answer(crew, crew.decide(now), now)
    assert crew.taking == before
    assert len(in_state(crew, State.SPARE)) == 1, "it is tried again as their spare"


@pytest.mark.parametrize("wanted", [1, 2, 5])
def test_all_are_renewed_without_a_moment_in_which_one_is_missing(wanted: int) -> None:
    crew = up(wanted)
    before = set(crew.workers)
    crew.renew()
    for turn in range(10 * wanted):
        now = turn / 10
        for step in crew.decide(now):
            answer(crew, [step], now)
            assert len(in_state(crew, State.READY)) >= wanted
    assert crew.complete
    assert not before & set(crew.workers)
    assert len(crew.workers) == wanted + 1


def test_who_stands_still_is_killed_and_replaced() -> None:
    crew = up(1)
    (worker,) = crew.taking
    assert crew.decide(SILENT_S) == []
    crew.told(worker, None, 5.0)
    assert crew.decide(5.0 + SILENT_S) == []
    assert kinds(crew.decide(5.1 + SILENT_S)) == [(Kill, worker.slot)]
    crew.ended(worker, 5.2 + SILENT_S)
    assert Begin in [kind for kind, _ in kinds(crew.decide(5.2 + SILENT_S))]


def test_a_spare_may_wait_for_as_long_as_it_is_not_needed() -> None:
    crew = up(1)
    (worker,) = crew.taking
    crew.told(worker, None, 3600.0)
    assert crew.decide(3600.0) == []


def test_who_never_gets_as_far_as_taking_calls_is_killed() -> None:
    crew = Crew(1)
    start, _ = crew.decide(0.0)
    assert crew.decide(START_S) == []
    assert crew.decide(START_S + 0.1) == [Kill(start.worker)]


def test_who_does_not_end_is_killed() -> None:
    crew = up(1)
    crew.renew()
    (stop,) = (step for step in crew.decide(0.0) if isinstance(step, Stop))
    assert stop.worker.state is State.STOPPING
    assert Kill(stop.worker) in crew.decide(STOP_S + 0.1)


def test_who_says_that_it_is_alive_and_does_not_end_is_killed() -> None:
    crew = up(1)
    crew.stopping = crew.ending = True
    stopped = [step.worker for step in crew.decide(0.0) if isinstance(step, Stop)]
    assert len(stopped) == 2, "the one that takes calls, and the spare"
    for worker in stopped:
        crew.told(worker, None, STOP_S)
    assert crew.decide(STOP_S + 0.1) == [Kill(worker) for worker in crew.workers]


def test_one_that_is_about_to_take_calls_is_stopped_by_a_drain() -> None:
    crew = Crew(1)
    start, _ = crew.decide(0.0)
    crew.ending = True
    assert crew.decide(0.1) == [Stop(start.worker)]
    crew.told(start.worker, State.READY, 0.2)
    assert crew.taking == []


def test_nobody_is_killed_for_the_time_in_which_all_stood_still() -> None:
    crew = up(1)
    crew.stood_still(3 * SILENT_S)
    assert crew.decide(4 * SILENT_S) == []
    assert kinds(crew.decide(4 * SILENT_S + 0.1)) == [(Kill, crew.taking[0].slot)]


def test_one_that_imports_and_cannot_open_is_tried_less_and_less_often() -> None:
    crew = up(2)
    assert crew.ended(crew.taking[0], 0.0)
    now, begun = 0.0, 0
    while now < 60.0:
        for step in crew.decide(now):
            if isinstance(step, Begin):
                begun += 1
                crew.ended(step.worker, now)
        for worker in crew.workers:
            if worker.state is State.STARTING:
                crew.told(worker, State.SPARE, now)
        now += 0.1
    assert begun < 30


def test_one_that_leaves_is_replaced_at_once_and_its_end_is_no_surprise() -> None:
    crew = up(2)
    leaves = crew.taking[0]
    crew.told(leaves, State.LEAVING, 1.0)
    assert not crew.complete
    answer(crew, crew.decide(1.0), 1.0)
    assert crew.complete
    assert leaves in crew.workers
    assert not crew.ended(leaves, 2.0)
    crew.told(crew.taking[0], State.LEAVING, 3.0)
    crew.stopping = crew.ending = True
    assert in_state(crew, State.LEAVING)
    stopped = [step.worker for step in crew.decide(3.0) if isinstance(step, Stop)]
    assert len(stopped) == len(crew.workers), "who drains is to end now, too"


def test_nobody_is_replaced_at_the_end() -> None:
    crew = up(2)
    crew.ending = True
    answer(crew, crew.decide(0.0))
    for worker in crew.taking:
        assert not crew.ended(worker, 1.0), "it was drained, and that is no fault"
    assert crew.decide(1.0) == []
    assert crew.workers == []


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_it_is_complete_again_once_nothing_more_happens(seed: int) -> None:
    chance = random.Random(seed)
    crew, now = Crew(chance.randint(1, 5)), 0.0
    for _ in range(200):
        now += chance.uniform(0, 3)
        crew.decide(now)
        slots = [worker.slot for worker in crew.workers]
        assert len(slots) == len(set(slots)) <= crew.wanted + EXTRA
        if chance.random() < 0.05:
            crew.renew()
        for worker in chance.sample(crew.workers, min(2, len(crew.workers))):
            if chance.random() < 0.3:
                crew.ended(worker, now)
            else:
                alive(crew, worker, now)
    for _ in range(60):
        now += 1.0
        answer(crew, crew.decide(now), now)
        for worker in list(crew.workers):
            if worker.state is State.STOPPING:
                crew.ended(worker, now)
            else:
                alive(crew, worker, now)
    assert crew.complete
    assert {worker.generation for worker in crew.workers} == {crew.generation}
    assert (len(crew.taking), len(crew.workers)) == (crew.wanted, crew.wanted + 1)


def alive(crew: Crew, worker: Worker, now: float) -> None:
    next_state = {State.STARTING: State.SPARE, State.OPENING: State.READY}
    crew.told(worker, next_state.get(worker.state), now)
