"""Every key of a secretary's file changes something: each one, and where that is seen."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import astuple
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from esl_controller.agents.chain import ChainModel, of_secretary
from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import SpeechStarted
from esl_controller.call.tools import TakeMessage, Toolbox
from esl_controller.config.model_settings import AgentSettings
from esl_controller.secretaries.hours import is_open
from esl_controller.secretaries.prompt import persona
from esl_controller.secretaries.secretary import Secretary
from esl_controller.session.webhooks import Webhooks
from esl_controller.store.records import Change, DeliveryQueued
from tests.call.world import World, tool_call
from tests.calls import test_bridge, test_talking
from tests.secretaries.rig import secretary
from tests.session import test_webhooks as test_errands

UUID = "b1d2f7a4-5c3e-4f60-8a9b-0c1d2e3f4a5b"
MONDAY = 1_795_392_000.0  # 2026-11-23 00:00 UTC
BASE: dict[str, Any] = {
    "language": "en",
    "turn_detection": {"kind": "server_vad"},
    "barge_in": {},
    "limits": {"max_call_s": 60, "warn_s": 20, "idle_s": 5.0, "idle_prompts": 1},
    "hours": {"zone": "UTC", "monday": ["10:00-12:00"], "do": "talk"},
    "destinations": [
        {"name": "Sales", "number": "1001"},
        {"name": "Help", "number": "1002"},
    ],
    "tools": {
        "enabled": ["end_call", "take_message", "collect_digits"],
        "webhooks": [{"name": "find", "description": "Find.", "url": "http://h/"}],
    },
    "recording": {},
    "events": {},
}
SEMANTIC = {"turn_detection.kind": "semantic_vad"}
AWAY = {"hours.do": "transfer", "hours.destination": "Sales"}

See = Callable[[Secretary], object]


# --- where it is seen -----------------------------------------------------------------------------


def calls(own: Secretary) -> object:
    """Which it takes, of a folder of secretaries."""
    return own.key


def model(own: Secretary) -> object:
    """What the model is told: by day, and by night."""
    return [persona(own, Toolbox(own).tools, closed=closed) for closed in (False, True)]


def choosing(own: Secretary) -> object:
    """Which of the settings' models its calls may have."""
    known = [ChainModel(name, None, AgentSettings()) for name in ("[agent]", "other")]  # type: ignore[arg-type]
    return [each.name for each in of_secretary(known, own.models)]


def transferring(own: Secretary) -> object:
    """Whom callers and the model can name."""
    return [getattr(own.destination(name), "number", None) for name in ("Sales", "shop", "Shop")]


def opening(own: Secretary) -> object:
    """Each half hour of a week: open or closed."""
    return [is_open(own.hours, MONDAY + 1800 * half) for half in range(336)]


def greeting(own: Secretary, closed: bool = False) -> object:
    """The first words, and what a call that came outside the hours comes to."""
    world = World(own, closed=closed).talking()
    world.reply()
    world.hear()
    return world.actions


def night(own: Secretary) -> object:
    """The same outside the hours."""
    return greeting(own, closed=True)


def returning(own: Secretary) -> object:
    """A transfer, as it is made."""
    world = World(own).greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear_all()
    return world.actions


def farewell(own: Secretary) -> object:
    """The last words."""
    world = World(own).greeted()
    world.asks(tool_call("end_call"))
    return world.actions


def silence(own: Secretary) -> object:
    """A caller who says nothing: what is done, and in which second."""
    world = World(own).greeted()
    done: list[object] = []
    for second in range(100):
        actions = world.later(1.0)
        done += [(second, action) for action in actions]
        if do.Hangup("NORMAL_CLEARING") in actions:
            break
        if world.in_flight:
            world.reply()
            world.hear_all()
    return done


def turns(own: Secretary) -> object:
    """A caller who says much."""
    world = World(own).greeted()
    for _ in range(3):
        world.turn()
        if world.in_flight:
            world.reply()
            world.hear_all()
    return world.actions


def interrupting(own: Secretary) -> object:
    """A caller who talks into the greeting."""
    world = World(own).talking()
    world.feed(world.started(), world.queued(), SpeechStarted(0, "u1"))
    return world.actions


def failing(own: Secretary) -> object:
    """A model that is not to be had."""
    world = World(own, fallback=own.fallback).greeted()
    return world.lose(Recovery.NEXT_MODEL)


def asking(own: Secretary) -> object:
    """A function of the company's own, once its secure digits were typed."""
    world = World(own).greeted()
    name = own.tools.webhooks[0].name
    world.asks(tool_call("collect_digits", "c1", name="pin", count=1, secure=True))
    world.feed(ev.Dtmf("7"))
    world.reply(tool_call(name, "c2"))
    return [astuple(action) for action in world.actions if isinstance(action, do.AskWebhook)]


def waiting(own: Secretary) -> object:
    """What is said while it runs."""
    world = World(own).greeted()
    world.asks(tool_call("find"))
    return world.actions


def sending(own: Secretary) -> object:
    """What other servers are sent."""
    put: list[Change] = []
    errands = Webhooks(test_errands.CHANNEL, own, None, put.append, "")  # type: ignore[arg-type]
    errands.message(TakeMessage("Ana", "", "Call me."), 0.0)
    errands.call_ended()
    return [(change.url, change.kind) for change in put if isinstance(change, DeliveryQueued)]


# --- each key -------------------------------------------------------------------------------------

# Another value, where the change is seen, and what else has to be set for it.
SEEN: dict[str, tuple[Any, See, dict[str, Any]]] = {
    "domain_uuid": (UUID, calls, {}),
    "secretary_uuid": (UUID, calls, {}),
    "name": ("Ana", model, {}),
    "company": ("Acme", model, {}),
    "language": ("pt", greeting, {}),
    "voice": ("ash", model, {}),
    "model": ("gpt-realtime-9", model, {}),
    "models": (["other"], choosing, {}),
    "instructions": ("Be brief.", model, {}),
    "business_info": ("A visit is 50.", model, {}),
    "greeting": ("Acme, hello.", greeting, {}),
    "farewell": ("Bye.", farewell, {}),
    "guardrails": (["politics"], model, {}),
    "fallback": ("Sales", failing, {}),
    "noise_reduction": ("far_field", model, {}),
    "turn_detection.kind": ("semantic_vad", model, {}),
    "turn_detection.threshold": (0.7, model, {}),
    "turn_detection.silence_ms": (700, model, {}),
    "turn_detection.prefix_ms": (100, model, {}),
    "turn_detection.eagerness": ("low", model, SEMANTIC),
    "barge_in.during_greeting": (False, interrupting, {}),
    "limits.max_call_s": (50, silence, {"limits.idle_s": 0.0}),
    "limits.warn_s": (25, silence, {"limits.idle_s": 0.0}),
    "limits.idle_s": (7.0, silence, {}),
    "limits.idle_prompts": (2, silence, {}),
    "limits.max_turns": (2, turns, {}),
    "hours.zone": ("Asia/Tokyo", opening, {}),
    **{
        f"hours.{day}day": (["13:00-14:00"], opening, {})
        for day in ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")
    },
    "hours.holidays": (["11-23"], opening, {}),
    "hours.say": ("We sleep.", night, {}),
    "hours.do": ("hangup", night, {}),
    "hours.destination": ("Help", night, AWAY),
    "destinations.name": ("Shop", transferring, {}),
    "destinations.aliases": (["shop"], transferring, {}),
    "destinations.kind": ("queue", model, {"tools.enabled": ["transfer_call"]}),
    "destinations.come_back": (True, returning, {"tools.enabled": ["transfer_call"]}),
    "tools.enabled": (["end_call"], model, {}),
    "tools.webhooks.name": ("search", model, {}),
    "tools.webhooks.description": ("Search.", model, {}),
    "tools.webhooks.parameters": (
        {"type": "object", "properties": {"day": {"type": "string"}}},
        model,
        {},
    ),
    "tools.webhooks.secure": ({"code": "pin"}, asking, {}),
    "tools.webhooks.wait_say": ("One moment.", waiting, {}),
    "events.message_url": ("http://m/", sending, {}),
    "events.call_ended_url": ("http://e/", sending, {}),
}
# What is seen where the call meets the switch, a server, or a sound.
TESTED: dict[str, Callable[..., Any]] = {
    "barge_in.confirm_ms": test_talking.test_how_much_speech_interrupts,
    "destinations.number": test_talking.test_a_transfer_goes_where_and_as_the_file_says,
    "destinations.context": test_talking.test_a_transfer_goes_where_and_as_the_file_says,
    "destinations.timeout_s": test_talking.test_a_transfer_goes_where_and_as_the_file_says,
    "tools.webhooks.url": test_talking.test_secure_digits_are_seen_by_nobody_but_the_webhook,
    "tools.webhooks.timeout_s": test_errands.test_a_server_that_does_not_answer_in_time,
    "recording.stereo": test_talking.test_a_recorded_call,
    "recording.after_transfer": test_bridge.test_a_recording_stops_at_the_transfer,
}


def keys(table: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every key of the schema with its path; lists of tables without a number."""
    for name, field in table.model_fields.items():
        inner = next(filter(_is_table, _types(field.annotation)), None)
        if inner is None:
            yield path + name
        else:
            yield from keys(inner, f"{path}{name}.")


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _types(argument)


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def changed(*changes: dict[str, Any]) -> Secretary:
    """The secretary of ``BASE`` with other values."""
    values = json.loads(json.dumps(BASE))
    for path, value in [item for each in changes for item in each.items()]:
        table = values
        *tables, key = path.split(".")
        for name in tables:
            table = table[name]
            table = table[0] if isinstance(table, list) else table
        table[key] = value
    return secretary(**values)


def test_no_key_is_left_out() -> None:
    assert sorted([*SEEN, *TESTED]) == sorted(keys(Secretary))


@pytest.mark.parametrize("key", SEEN)
def test_each_key_changes_something(key: str) -> None:
    value, see, others = SEEN[key]
    assert see(changed(others, {key: value})) != see(changed(others))


@pytest.mark.parametrize("key", TESTED)
def test_the_others_have_a_test_that_sets_them(key: str) -> None:
    assert key.rpartition(".")[2] in inspect.getsource(TESTED[key])
