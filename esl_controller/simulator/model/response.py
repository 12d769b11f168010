"""One response of the model: its events in their order, its audio at its pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from esl_controller.simulator.model.config import SessionConfig
from esl_controller.simulator.model.conversation import ConversationItems, Item
from esl_controller.simulator.model_base.behaviour import ScriptedCall
from esl_controller.simulator.model_base.record import SessionRecord
from esl_controller.simulator.model_base.sender import EventSender
from esl_controller.simulator.model_base.utterance import ModelUtterance

_ARGUMENTS_DELTA: Final = 12  # characters


@dataclass(frozen=True)
class Pacing:
    """delta_ms of audio in each delta, at `pace` times real time (0: all at once)."""

    delta_ms: int
    pace: float


class Response:
    """Emits response.created to response.done, and adds what it says to the conversation.

    `finished` is set before the closing events: from then on it can no longer be cancelled.
    """

    def __init__(
        self,
        sender: EventSender,
        conversation: ConversationItems,
        config: SessionConfig,
        record: SessionRecord,
        new_id: Callable[[str], str],
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.id = new_id("resp")
        self.finished = False
        self._sender = sender
        self._conversation = conversation
        self._config = config
        self._record = record
        self._new_id = new_id
        self._metadata = metadata
        self._output: list[Item] = []
        self._open: Item | None = None
        self._transcript = ""

    async def begin(self) -> None:
        """response.created."""
        await self._sender.emit("response.created", response=self._body("in_progress"))

    async def speak(self, utterance: ModelUtterance, pacing: Pacing) -> bool:
        """Say it; False if a fault has ended the session meanwhile."""
        item = self._conversation.new_item(
            "message", role="assistant", status="in_progress", content=[]
        )
        item.format = utterance.format
        await self._open_item(item)
        await self._sender.emit(
            "response.content_part.added",
            **self._at(item, content=True),
            part={"type": "audio", "transcript": ""},
        )
        if not await self._send_audio(item, utterance, pacing):
            return False
        await self._close_message(item, "completed")
        return True

    async def call(self, scripted: ScriptedCall) -> None:
        """A function call as an output item."""
        item = self._conversation.new_item(
            "function_call",
            status="in_progress",
            name=scripted.name,
            call_id=self._new_id("call"),
            arguments="",
        )
        await self._open_item(item)
        at = {**self._at(item), "call_id": item.body["call_id"]}
        kind = "response.function_call_arguments"
        text = scripted.arguments
        for start in range(0, len(text), _ARGUMENTS_DELTA):
            piece = text[start : start + _ARGUMENTS_DELTA]
            await self._sender.emit(f"{kind}.delta", **at, delta=piece)
        item.body["arguments"] = text
        await self._sender.emit(f"{kind}.done", **at, name=scripted.name, arguments=text)
        await self._close_item(item, "completed")

    async def finish(self, status: str, **details: Any) -> None:
        """Close what is open, then response.done and rate_limits.updated.

        status: completed, cancelled or failed; details: the reason of a cancelled response
        (turn_detected or client_cancelled), the error of a failed one.
        """
        self.finished = True
        if self._open is not None and self._open.body["type"] == "message":
            await self._close_message(self._open, "incomplete")
        elif self._open is not None:
            await self._close_item(self._open, "incomplete")
        told = {"type": status, **details} if details else None
        body = {**self._body(status), "status_details": told, "usage": self._usage()}
        await self._sender.emit("response.done", response=body)
        used = body["usage"]["total_tokens"]
        await self._sender.emit("rate_limits.updated", rate_limits=_rate_limits(used))

    async def _open_item(self, item: Item) -> None:
        self._output.append(item)
        self._open = item
        previous = self._conversation.add(item)
        at = {"response_id": self.id, "output_index": len(self._output) - 1}
        await self._sender.emit("response.output_item.added", **at, item=item.body)
        await self._sender.emit(
            "conversation.item.added", previous_item_id=previous, item=item.body
        )

    async def _send_audio(self, item: Item, utterance: ModelUtterance, pacing: Pacing) -> bool:
        """The deltas, each at its time; whether all were sent."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        step = pacing.delta_ms / 1000 / pacing.pace if pacing.pace else 0.0
        at = self._at(item, content=True)
        head = '{"type":"response.output_audio.delta","event_id":"'
        ids = json.dumps(at)[1:-1]
        words = _pieces(utterance.transcript, len(utterance.chunks))
        audio_ms = 0.0
        for index, (chunk, encoded) in enumerate(
            zip(utterance.chunks, utterance.encoded, strict=True)
        ):
            if (wait := began + index * step - loop.time()) > 0:
                await asyncio.sleep(wait)
            if words[index]:
                self._transcript += words[index]
                await self._sender.emit(
                    "response.output_audio_transcript.delta", **at, delta=words[index]
                )
            item.audio += chunk
            self._record.delta(item.id, utterance.format, chunk)
            text = f'{head}{self._new_id("event")}",{ids},"delta":"{encoded}"}}'
            await self._sender.emit_formatted("response.output_audio.delta", text)
            audio_ms += utterance.format.ms(len(chunk))
            if await self._sender.disturb(audio_ms):
                return False
        return True

    async def _close_message(self, item: Item, status: str) -> None:
        at = self._at(item, content=True)
        emit = self._sender.emit
        await emit("response.output_audio.done", **at)
        await emit("response.output_audio_transcript.done", **at, transcript=self._transcript)
        part = {"type": "audio", "transcript": self._transcript}
        await emit("response.content_part.done", **at, part=part)
        if not item.body["content"]:  # else it was truncated while it was being said
            item.body["content"] = [{"type": "output_audio", "transcript": self._transcript}]
        await self._close_item(item, status)

    async def _close_item(self, item: Item, status: str) -> None:
        self._open = None
        item.body["status"] = status
        ids = [known.id for known in self._conversation.items]
        index = ids.index(item.id) if item.id in ids else 0
        await self._sender.emit(
            "conversation.item.done",
            previous_item_id=ids[index - 1] if index else None,
            item=item.body,
        )
        at = self._at(item)
        del at["item_id"]
        await self._sender.emit("response.output_item.done", **at, item=item.body)

    def _at(self, item: Item, *, content: bool = False) -> dict[str, Any]:
        at: dict[str, Any] = {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": self._output.index(item),
        }
        return {**at, "content_index": 0} if content else at

    def _body(self, status: str) -> dict[str, Any]:
        output = self._config.body["audio"]["output"]
        voice = output["voice"]["id"] if isinstance(output["voice"], dict) else output["voice"]
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": None,
            "output": [item.body for item in self._output],
            "conversation_id": "conv_standin",
            "output_modalities": ["audio"],
            "max_output_tokens": self._config.body["max_output_tokens"],
            "audio": {"output": {"format": output["format"], "voice": voice}},
            "usage": None,
            "metadata": self._metadata,
        }

    def _usage(self) -> dict[str, Any]:
        """Tokens as the service counts audio: one per 100 ms heard, one per 50 ms spoken."""
        heard = sum(i.audio_ms for i in self._conversation.items if i.body.get("role") == "user")
        text_in = len(str(self._config.body["instructions"])) // 4
        spoken = sum(item.audio_ms for item in self._output)
        text_out = (
            len(self._transcript) + sum(len(i.body.get("arguments", "")) for i in self._output)
        ) // 4
        tokens_in, tokens_out = heard // 100 + text_in, spoken // 50 + text_out
        return {
            "total_tokens": tokens_in + tokens_out,
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": heard // 100,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": spoken // 50},
        }


def _pieces(text: str, count: int) -> list[str]:
    """The words of `text` spread over the first of `count` pieces, in order, spaces kept."""
    words = [word if i == 0 else f" {word}" for i, word in enumerate(text.split(" "))]
    if len(words) > count:
        words = [*words[: count - 1], "".join(words[count - 1 :])] if count else []
    return words + [""] * (count - len(words))


def _rate_limits(used: int) -> list[dict[str, Any]]:
    return [
        {"name": "requests", "limit": 5000, "remaining": 4999, "reset_seconds": 0.012},
        {"name": "tokens", "limit": 400_000, "remaining": 400_000 - used, "reset_seconds": 0.2},
    ]
