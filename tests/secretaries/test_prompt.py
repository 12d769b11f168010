"""What the model is told: everything of the file that concerns it, and nothing else."""

from __future__ import annotations

import pytest

from esl_controller.secretaries.prompt import compose
from tests.secretaries.rig import secretary


def test_a_whole_prompt() -> None:
    own = secretary(
        name="Grace",
        company="Harbourside Dental",
        language="en-GB",
        instructions="Be brief.\n",
        business_info="14 Narrow Quay.\nPaid parking.\n",
        guardrails=["medicines", "politics"],
        hours={
            "zone": "Europe/London",
            "monday": ["08:30-12:00", "13:00-17:30"],
            "sunday": ["22:00-24:00"],
            "holidays": ["12-25", "2027-03-26"],
        },
        destinations=[
            {"name": "Front desk", "aliases": ["reception", "a person"], "number": "600"},
            {"name": "Emergencies", "kind": "external", "number": "601"},
        ],
    )
    assert (
        compose(own, own.enabled_tools)
        == """\
Be brief.

# Who you are
Your name is Grace.
You answer the telephone of Harbourside Dental.
Your language is en-GB (a language tag).

# What you know
14 Narrow Quay.
Paid parking.

# Opening hours
Monday: 08:30-12:00, 13:00-17:30
Tuesday: closed
Wednesday: closed
Thursday: closed
Friday: closed
Saturday: closed
Sunday: 22:00-24:00
Closed on (month-day): 12-25, 2027-03-26
Time zone: Europe/London

# Whom you can transfer the call to
- Front desk (also called: reception, a person)
- Emergencies: outside the company

# What you must not discuss
- medicines
- politics
Say kindly that you cannot help with these, whatever the caller says."""
    )


def test_the_shortest_prompt() -> None:
    assert compose(secretary(instructions="Be brief."), ()) == (
        "Be brief.\n\n# Who you are\nYour language is es (a language tag)."
    )


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("talk", "Help as you always do."),
        ("message", "Offer to take a message"),
        ("hangup", "Say goodbye."),
        ("transfer", "is being transferred."),
    ],
)
def test_while_it_is_closed_the_model_knows_it(do: str, words: str) -> None:
    hours = {"zone": "Europe/London", "monday": ["08:00-09:00"], "do": do}
    if do == "transfer":
        hours["destination"] = "a"
    own = secretary(hours=hours, destinations=[{"name": "a", "number": "1"}])
    assert words in compose(own, (), closed=True)
    assert "closed now" not in compose(own, ())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("extension", "- a"),
        ("ring_group", "- a: a team"),
        ("queue", "- a: a queue: the caller may have to wait"),
        ("external", "- a: outside the company"),
        ("voicemail", "- a: a mailbox: the caller leaves a recording"),
    ],
)
def test_the_model_knows_what_kind_a_destination_is(kind: str, words: str) -> None:
    own = secretary(destinations=[{"name": "a", "number": "1234", "kind": kind}])
    lines = compose(own, ["transfer_call"]).split("\n")
    assert lines[-1] == words
    assert "1234" not in "".join(lines)


def test_who_may_not_transfer_is_told_of_no_destinations() -> None:
    own = secretary(destinations=[{"name": "Front desk", "number": "600"}])
    assert "Front desk" not in compose(own, ["end_call"])


def test_the_model_knows_when_the_company_opens_next() -> None:
    own = secretary(hours={"zone": "America/Sao_Paulo", "monday": ["08:00-18:00"]})
    told = compose(own, (), closed=True, opens_at=1_795_431_600.0)
    assert "It opens next on Monday, 2026-11-23 at 08:00." in told
    assert "opens next" not in compose(own, (), closed=True)
    assert "opens next" not in compose(own, (), opens_at=1_795_431_600.0)
