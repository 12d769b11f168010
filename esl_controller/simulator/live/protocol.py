"""What clients send, by event type: the `openai` package's own parameter types."""

from __future__ import annotations

from typing import Final

from openai.types import live

from esl_controller.simulator.model_base.validation import ClientEvents

CLIENT_EVENTS: Final = ClientEvents(
    append="session.input_audio.append",
    params={
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
    },
    id_field="client_event_id",
)
