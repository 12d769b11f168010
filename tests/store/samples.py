"""A call with something of everything in it."""

from __future__ import annotations

from esl_controller.call.agent import Usage
from esl_controller.call.records import ToolUsed, Turn
from esl_controller.store.records import (
    CallEnded,
    CallStarted,
    Change,
    DeliveryQueued,
    MessageTaken,
    Noted,
)

UUID = "0b6a7e5e-2f0f-4f0c-9f53-6b3d9f0f7a11"
AT = 1_790_000_000.0

STARTED = CallStarted(UUID, "tenant", "clinic", "+5511", "8000", AT)
GREETING = Turn(
    UUID, 1, "agent", "Olá! Como posso ajudar?", "Olá! Como", AT + 0.5, AT + 1.5, None, 900
)
WISH = Turn(UUID, 2, "caller", "An appointment, please.", "", AT + 1.4, AT + 3.0)
REPLY = Turn(UUID, 3, "agent", "On Monday at nine.", "On Monday at nine.", AT + 3.6, AT + 5.0, 620)
TOOL = ToolUsed(UUID, "call_1", "book", '{"day": "monday"}', '{"ok": true}', AT + 3.1, 180)
MESSAGE = MessageTaken(UUID, "Ana", "+5511", "Call me back", AT + 6)
NOTE = Noted(UUID, AT + 5.5, "the model was connected again")
USAGE = Usage(
    input_text=10, input_audio=200, cached=30, output_text=40, output_audio=500, seconds=8.25
)
ENDED = CallEnded(UUID, AT + 9.5, "NORMAL_CLEARING", "completed", "/var/calls/a.wav", USAGE)

CALL: tuple[Change, ...] = (STARTED, GREETING, WISH, TOOL, REPLY, NOTE, MESSAGE, ENDED)


def turn(number: int, call_uuid: str = UUID) -> Turn:
    """The turn ``number`` of a call."""
    return Turn(call_uuid, number, "caller", f"words {number}", "", AT + number)


def deliver(url: str, body: str = '{"a": 1}', call_uuid: str = UUID) -> DeliveryQueued:
    """A delivery that is put."""
    return DeliveryQueued(url, "message", body, call_uuid)
