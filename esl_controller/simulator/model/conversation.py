"""The items of a conversation, as the model remembers them."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from esl_controller.simulator.model.config import MODEL_FORMAT
from esl_controller.simulator.model_base.validation import ProtocolError
from media.frame import Format


@dataclass(eq=False)
class Item:
    """One item: its body as the wire shows it (without audio), and its audio."""

    body: dict[str, Any]
    audio: bytes = b""
    format: Format = MODEL_FORMAT

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.body["id"])

    @property
    def audio_ms(self) -> int:
        """Whole milliseconds of audio."""
        return int(self.format.ms(len(self.audio)))

    def with_audio(self) -> dict[str, Any]:
        """The body as conversation.item.retrieved shows it."""
        body = copy.deepcopy(self.body)
        if self.audio:
            body["content"][0]["audio"] = base64.b64encode(self.audio).decode()
        return body


class ConversationItems:
    """Items in their order. Every refusal is a ProtocolError and changes nothing.

    The messages "Audio content of Xms is already shorter than Yms" and "Only model output audio
    messages can be truncated" are those that users of the service report; the other texts are ours.
    """

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._items: list[Item] = []

    @property
    def last_id(self) -> str | None:
        """The id of the newest item."""
        return self._items[-1].id if self._items else None

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, oldest first."""
        return tuple(self._items)

    def new_item(self, kind: str, **fields: Any) -> Item:
        """An item that is not in the conversation yet."""
        return Item({"id": self._new_id("item"), "type": kind, **fields})

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Insert at the end, or after an item ("root": at the beginning); the id before it."""
        if any(known.id == item.id for known in self._items):
            raise ProtocolError(
                "item_create_invalid_item_id", f"Item '{item.id}' already exists.", "item.id"
            )
        index = len(self._items)
        if after == "root":
            index = 0
        elif after is not None:
            index = 1 + self._index(after, "item_create_invalid_previous_item_id")
        self._items.insert(index, item)
        return self._items[index - 1].id if index else None

    def create(self, body: dict[str, Any], after: str | None) -> tuple[Item, str | None]:
        """What conversation.item.create asks for: the new item and the id before it."""
        if body["type"] not in ("message", "function_call", "function_call_output"):
            raise ProtocolError(
                "not_supported", f"The stand-in has no items of type {body['type']}.", "item.type"
            )
        if body["type"] == "function_call_output" and not self._was_called(body["call_id"]):
            raise ProtocolError(
                "invalid_tool_call_id",
                f"Tool call ID '{body['call_id']}' not found in conversation.",
                "item.call_id",
            )
        full = {"id": self._new_id("item"), "status": "completed", **body}
        if "content" in full:
            full["content"] = [
                {key: value for key, value in part.items() if key != "audio"}
                for part in full["content"]
            ]
        item = Item(full)
        return item, self.add(item, after)

    def get(self, item_id: str) -> Item:
        """The item that conversation.item.retrieve asks for."""
        return self._items[self._index(item_id, "item_retrieve_invalid_item_id")]

    def delete(self, item_id: str) -> None:
        """Forget an item."""
        del self._items[self._index(item_id, "item_delete_invalid_item_id")]

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cut an assistant message to what was heard; its transcript goes with the rest."""
        item = self._items[self._index(item_id, "item_truncate_invalid_item_id")]
        if item.body.get("role") != "assistant" or not item.audio:
            raise ProtocolError(
                "unsupported_content_type", "Only model output audio messages can be truncated"
            )
        if content_index != 0:
            raise ProtocolError(
                "invalid_value", "There is one content part, at index 0.", "content_index"
            )
        if audio_end_ms < 0:
            raise ProtocolError(
                "integer_below_min_value", "Invalid 'audio_end_ms': below 0.", "audio_end_ms"
            )
        if audio_end_ms > item.audio_ms:
            raise ProtocolError(
                "invalid_value",
                f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms",
            )
        kept = audio_end_ms * item.format.rate // 1000 * item.format.sample_bytes
        item.audio = item.audio[:kept]
        item.body["content"] = [{"type": "output_audio"}]

    def _was_called(self, call_id: str) -> bool:
        return any(
            item.body["type"] == "function_call" and item.body.get("call_id") == call_id
            for item in self._items
        )

    def _index(self, item_id: str, code: str) -> int:
        for index, item in enumerate(self._items):
            if item.id == item_id:
                return index
        raise ProtocolError(code, f"The item with id '{item_id}' does not exist.")
