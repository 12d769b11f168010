"""What a secretary's keys come to: its words, its destinations, its functions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from esl_controller.call.tools import Toolbox
from esl_controller.config.model_settings import GREETINGS, AgentSettings
from esl_controller.secretaries import prompt
from esl_controller.secretaries.hours import is_open, opens_next
from esl_controller.secretaries.secretary import recalled
from tests.lateness import LoopWatch
from tests.secretaries.rig import AGENT, secretary


def test_the_default_is_made_of_the_agents_settings() -> None:
    agent = AgentSettings(
        language="pt-BR", voice="cedar", greeting="Alô!", instructions="Seja breve."
    )
    default = secretary().from_agent(agent)
    assert (default.model, default.voice, default.language) == (agent.model, "cedar", "pt-BR")
    assert default.instructions == "Seja breve."
    assert default.spoken_greeting == "Alô!"
    assert default.key == ("", "")


def test_what_a_file_leaves_empty_is_the_agents() -> None:
    own = secretary(language="fr", model="m")
    assert (own.language, own.model) == ("fr", "m")
    assert (own.voice, own.instructions) == ("cedar", AGENT.instructions)
    assert secretary(voice="v", instructions="I").language == "es"
    # The greeting names a company: that of [agent] is not lent to others.
    lent = secretary().completed(AgentSettings(greeting="Here is Acme."))
    assert lent.spoken_greeting == GREETINGS["es"]


@pytest.mark.parametrize(
    ("language", "greeting", "farewell", "closed"),
    [
        ("pt-BR", "Olá! Como", "Obrigada", "Olá! No momento"),
        ("es", "¡Hola! ¿En", "Gracias", "¡Hola! En este"),
        ("en-GB", "Hello! How", "Thank you", "Hello! We are closed"),
        ("fr", "Hello! How", "Thank you", "Hello! We are closed"),
    ],
)
def test_our_own_words_are_in_its_language(
    language: str, greeting: str, farewell: str, closed: str
) -> None:
    own = secretary(language=language)
    assert own.spoken_greeting.startswith(greeting)
    assert own.spoken_farewell.startswith(farewell)
    assert own.spoken_closed.startswith(closed)


def test_its_own_words_go_before_ours() -> None:
    own = secretary(greeting="Hi.", farewell="Bye.", hours={"say": "Closed."})
    assert (own.spoken_greeting, own.spoken_farewell, own.spoken_closed) == (
        "Hi.",
        "Bye.",
        "Closed.",
    )


def test_a_destination_is_found_whatever_its_case_accents_and_spaces() -> None:
    own = secretary(
        destinations=[
            {"name": "Recepção", "aliases": ["Uma  pessoa"], "number": "600"},
            {"name": "Straße", "number": "601", "kind": "queue", "timeout_s": 5, "context": "c"},
        ]
    )
    first, second = own.destinations
    for name in ("RECEPCAO", " recepção", "Recepc\u0327a\u0303o", "uma pessoa"):
        assert own.destination(name) is first
    assert own.destination("strasse") is second
    assert own.destination("") is None
    assert own.destination("Recep") is None
    assert (second.number, second.context, second.timeout_s) == ("601", "c", 5)


def test_the_usual_functions_depend_on_the_destinations() -> None:
    there = [{"name": "a", "number": "1"}]
    assert secretary().enabled_tools == ("end_call", "take_message")
    assert "transfer_call" in secretary(destinations=there).enabled_tools
    assert secretary(destinations=there, tools={"enabled": []}).enabled_tools == ()


def test_the_key_is_in_lower_case() -> None:
    uuid = "B1D2F7A4-5C3E-4F60-8A9B-0C1D2E3F4A5B"
    assert secretary(domain_uuid=uuid).key == (uuid.lower(), "")


def test_what_is_stored_of_it_makes_the_same_again() -> None:
    own = secretary(name="Ana", hours={"zone": "Europe/London", "monday": ["08:00-12:00"]})
    assert '"voice":"cedar"' in own.model_copy(update={"voice": ""}).completed(AGENT).as_json
    assert recalled(own.as_json) == own
    for nothing in ("", "{", '{"name": 1}', '{"unknown": 1}'):
        assert recalled(nothing) is None


SUNDAY = datetime(2026, 11, 29, tzinfo=ZoneInfo("America/Sao_Paulo"))
MINUTES = [(SUNDAY + timedelta(minutes=2 * minute)) for minute in range(500)]
CLOSED = [SUNDAY + timedelta(weeks=week) for week in range(1, 400)]
HOSTILE: dict[str, dict[str, Any]] = {
    "functions and times": {
        "tools": {
            "webhooks": [
                {
                    "name": f"f{number}",
                    "description": "x" * 300,
                    "url": "https://clinic.example/",
                    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
                }
                for number in range(500)
            ]
        },
        "hours": {
            "zone": "America/Sao_Paulo",
            "sunday": [f"{at:%H:%M}-{at + timedelta(minutes=1):%H:%M}" for at in MINUTES],
            "holidays": [f"{day:%Y-%m-%d}" for day in CLOSED],
        },
    },
    "names": {
        "fallback": "é7cff",
        "destinations": [
            {
                "name": f"é{number:x}",
                "number": "1001",
                "aliases": [f"é{number + 400 * (1 + alias):x}" for alias in range(79)],
            }
            for number in range(400)
        ],
    },
}


@pytest.mark.parametrize("keys", HOSTILE.values(), ids=HOSTILE)
async def test_as_large_as_its_file_may_be_it_holds_nobody_up(
    keys: dict[str, Any], watched_loop: LoopWatch
) -> None:
    own = secretary(**keys)
    now = SUNDAY.timestamp() + 23 * 3600
    async with watched_loop:  # what each call asks of it
        assert own.as_json
        box = Toolbox(own)
        assert not own.fallback or own.destination(own.fallback) == own.destinations[-1]
        closed = not is_open(own.hours, now)
        opens_at = opens_next(own.hours, now)
        prompt.persona(own, box.tools, closed=closed, opens_at=opens_at)
