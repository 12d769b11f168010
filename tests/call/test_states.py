"""The state of a call, and how long it may last."""

from __future__ import annotations

import pytest

from esl_controller.call.states import MAX_S, PREPARE_S, Stage, State


def test_a_call_begins_without_a_deadline() -> None:
    stage = Stage()
    assert (stage.state, stage.deadline) == (State.ARRIVED, None)


@pytest.mark.parametrize("state", list(State))
def test_each_state_lasts_as_long_as_it_may(state: State) -> None:
    stage = Stage()
    stage.enter(State.PREPARING, 1.0, extra_s=10.0)
    assert stage.deadline == 11.0 + PREPARE_S
    stage.enter(state, 5.0)
    assert stage.state is state
    assert stage.deadline == (5.0 + MAX_S[state] if state in MAX_S else None)
