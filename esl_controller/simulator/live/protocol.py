"""What clients send, by event type: the `openai` package's own parameter types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from openai.types import live

from esl_controller.simulator.model.validation import Event, ProtocolError, check, warm_up

APPEND: Final = "session.input_audio.append"

PARAMS: Final[Mapping[str, Any]] = {
    "session.start": live.SessionStartEventParam,
    "session.update": live.SessionUpdateEventParam,
    "session.close": live.SessionCloseEventParam,
    "session.input_audio.mute": live.InputAudioMuteEventParam,
    "session.input_audio.unmute": live.InputAudioUnmuteEventParam,
    "session.output_audio.fixture.play": live.OutputAudioFixturePlayEventParam,
    "session.instructions.append": live.InstructionsAppendEventParam,
    "session.thinking.append": live.ThinkingAppendEventParam,
    "session.commentary.append": live.CommentaryAppendEventParam,
    "decision.create": live.DecisionCreateEventParam,
    "decision.item.create": live.DecisionItemCreateEventParam,
    "decision.item.delete": live.DecisionItemDeleteEventParam,
    "response.item.create": live.ResponseItemCreateEventParam,
    "response.create": live.ResponseCreateEventParam,
}


def check_client_event(event: Event) -> None:
    """Raise ProtocolError unless `event` is a client event (appends are checked elsewhere)."""
    check(event, PARAMS, APPEND)


def prepare() -> None:
    """Build the validators now."""
    warm_up(PARAMS)


def error_body(error: ProtocolError, event_id: str | None) -> Event:
    """The `error` field of an error event about the client's event `event_id`."""
    return {
        "type": "invalid_request_error",
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "client_event_id": event_id,
    }
