"""The records' keys, and their form as JSON."""

from __future__ import annotations

from dataclasses import fields

from esl_controller.call.agent import Usage
from esl_controller.store.records import DeliveryQueued, MessageTaken, StoredCall
from tests.store.samples import GREETING, MESSAGE, UUID


def test_records_without_a_name_get_one_of_their_own() -> None:
    first, second = (MessageTaken(UUID, "Ana", "1", "text", 1.0) for _ in range(2))
    assert first.id != second.id
    assert DeliveryQueued("u", "k", "", UUID).id != DeliveryQueued("u", "k", "", UUID).id


def test_a_call_as_json_names_its_uuid_once() -> None:
    call = StoredCall(
        UUID, "d", "s", "c", "n", 1.0, None, "", "", "", Usage(), [GREETING], [], [MESSAGE]
    )
    told = call.as_dict()
    assert told["call_uuid"] == UUID
    assert told["usage"]["output_audio"] == 0
    assert set(told["turns"][0]) == {field.name for field in fields(GREETING)} - {"call_uuid"}
    assert told["turns"][0]["text"] == GREETING.text
    assert "call_uuid" not in told["messages"][0]
