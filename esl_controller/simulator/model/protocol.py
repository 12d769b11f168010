"""What clients send, by event type: the `openai` package's own parameter types."""

from __future__ import annotations

from typing import Final

from openai.types import realtime

from esl_controller.simulator.model_base.validation import ClientEvents

CLIENT_EVENTS: Final = ClientEvents(
    append="input_audio_buffer.append",
    params={
        "session.update": realtime.session_update_event_param.SessionUpdateEventParam,
        "input_audio_buffer.commit": realtime.InputAudioBufferCommitEventParam,
        "input_audio_buffer.clear": realtime.InputAudioBufferClearEventParam,
        "output_audio_buffer.clear": realtime.OutputAudioBufferClearEventParam,
        "conversation.item.create": realtime.ConversationItemCreateEventParam,
        "conversation.item.delete": realtime.ConversationItemDeleteEventParam,
        "conversation.item.retrieve": realtime.ConversationItemRetrieveEventParam,
        "conversation.item.truncate": realtime.ConversationItemTruncateEventParam,
        "response.create": realtime.ResponseCreateEventParam,
        "response.cancel": realtime.ResponseCancelEventParam,
    },
    id_field="event_id",
)
