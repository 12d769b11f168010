"""A transition table, and the two that decide about a call."""

from __future__ import annotations

from typing import get_args

import pytest

from esl_controller.call import conversation, machine
from esl_controller.call.actions import Actions, Answer, Close
from esl_controller.call.events import Answered, Event, HungUp, ShutDown
from esl_controller.call.transitions import Transitions


class Light:
    """Something that decides."""

    def answered(self, event: Answered, now: float) -> Actions:
        """Say that it was found."""
        return [Answer()]

    def over(self, event: HungUp | ShutDown, now: float) -> Actions:
        """The same for another event."""
        return [Close()]


def table() -> Transitions[Light]:
    """One with two states."""
    transitions: Transitions[Light] = Transitions()
    transitions.on(Answered, Light.answered, "off")
    transitions.on(HungUp, Light.over, "off", "on")
    return transitions


def test_a_decision_is_found_by_event_and_state() -> None:
    transitions, light = table(), Light()
    answered = transitions.find(Answered(), "off")
    assert answered is not None
    assert answered(light, Answered(), 1.0) == [Answer()]
    for state in ("off", "on"):
        over = transitions.find(HungUp("x"), state)
        assert over is not None
        assert over(light, HungUp("x"), 1.0) == [Close()]


def test_an_event_that_means_nothing_in_a_state_has_no_decision() -> None:
    assert table().find(Answered(), "on") is None
    assert table().find(Answered(), "unheard of") is None
    assert table().find(ShutDown(), "off") is None
    assert table().find(Answered()) is None, "no state is a state of its own"


def test_a_table_without_states() -> None:
    transitions: Transitions[Light] = Transitions()
    transitions.on(HungUp, Light.over)
    assert transitions.find(HungUp("x")) is not None
    assert transitions.find(HungUp("x"), "on") is None


def test_one_event_has_one_decision_in_each_state() -> None:
    transitions = table()
    transitions.on(Answered, Light.answered, "on")
    with pytest.raises(AssertionError, match="two decisions on HungUp"):
        transitions.on(HungUp, Light.over, "broken", "on")


def test_a_table_knows_its_events() -> None:
    assert table().events == {Answered, HungUp}


@pytest.mark.parametrize("event", get_args(Event), ids=lambda event: str(event.__name__))
def test_every_event_is_decided_on_somewhere(event: type) -> None:
    assert event in machine.TRANSITIONS.events | conversation.TRANSITIONS.events


def test_the_tables_decide_on_nothing_else() -> None:
    known = set(get_args(Event))
    assert machine.TRANSITIONS.events | conversation.TRANSITIONS.events <= known
