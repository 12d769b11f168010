"""What the model is told to say."""

from __future__ import annotations

import pytest

from esl_controller.call import instructions


def test_a_sentence_of_the_secretary_is_said_word_for_word() -> None:
    assert instructions.verbatim("Bye now.").endswith("nothing else: Bye now.")
    assert "Clinic, hello." in instructions.greeting("Clinic, hello.")


def test_numbers_and_names_are_in_it() -> None:
    assert "in 30 seconds" in instructions.limit_warning(30.0)
    assert "in 7.5 seconds" in instructions.limit_warning(7.5)
    assert "to Sales" in instructions.transfer_announcement("Sales")
    assert "pressed 12# " in instructions.keys_pressed("12#")


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        ("USER_BUSY", "the line is busy"),
        ("NO_ANSWER", "nobody answered"),
        ("CALL_REJECTED", "the call was declined"),
        ("ANYTHING_ELSE", "the call could not be connected"),
    ],
)
def test_a_caller_who_reached_nobody_is_told_why(cause: str, why: str) -> None:
    words = instructions.caller_returned("Sales", cause)
    assert why in words
    assert "without having spoken to Sales" in words


def test_a_caller_who_reached_somebody_is_asked_whether_there_is_more() -> None:
    assert "anything else" in instructions.caller_returned("Sales", "")
