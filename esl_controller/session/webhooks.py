"""What a call asks of the operator's server, and what it tells it.

A *webhook function* is a tool of the model: asked once, while the caller waits, never retried. A
*delivery* (a message, the end of a call) is put into the store, and ``server/outbox.py`` sends it
until it arrives, for a day.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from uuid import uuid4

import structlog
from aiohttp import ClientError, ClientSession, StreamReader

from esl_controller.call.tools import AskServer, TakeMessage, failure
from esl_controller.freeswitch.channel import Channel
from esl_controller.secretaries.secretary import Secretary
from esl_controller.session.webhook_http import headers, refused_address
from esl_controller.store.records import JSON_LIMIT, Change, DeliveryQueued, MessageTaken

AT_ONCE = 4  # connections of one call: a model mostly asks one or two functions in a turn
ANSWER_LIMIT = 20_000  # bytes of an answer; a model cannot use more

log = structlog.stdlib.get_logger(__name__)


class Webhooks:
    """The webhook functions and deliveries of one call.

    ``put`` takes changes for the store; functions are signed with ``secret`` unless it is empty.
    """

    def __init__(
        self,
        channel: Channel,
        secretary: Secretary,
        http: ClientSession,
        put: Callable[[Change], None],
        secret: str,
    ) -> None:
        self._channel = channel
        self._secretary = secretary
        self._http = http
        self._put = put
        self._secret = secret
        self._connections = asyncio.Semaphore(AT_ONCE)

    async def webhook(self, request: AskServer, secure: Mapping[str, str]) -> str:
        """Ask the server. Returns a JSON text for the model, whatever happens; an error is one,
        too. ``secure``: arguments that the model must not know."""
        tool = request.tool
        asked = {
            "function": tool.name,
            "arguments": {**request.arguments, **secure},
            "call": self._call(),
        }
        content = json.dumps(asked).encode()
        try:
            async with (
                asyncio.timeout(tool.timeout_s),
                self._connections,
                self._http.post(
                    tool.url,
                    data=content,
                    headers=headers("function", uuid4().hex, self._secret, content),
                    allow_redirects=False,
                ) as answer,
            ):
                body = await _read(answer.content)
                status = answer.status
                packed = answer.headers.get("Content-Encoding", "identity") != "identity"
        except TimeoutError:
            return self._failed(tool.name, f"no answer within {tool.timeout_s:g} s")
        except (ClientError, OSError, ValueError) as error:
            if reason := refused_address(error):
                log.warning("a webhook function may not be asked", reason=reason)
                return self._failed(tool.name, "not reached: its address is not allowed")
            return self._failed(tool.name, f"not reached: {type(error).__name__}")
        if not 200 <= status < 300:
            return self._failed(tool.name, f"HTTP {status}")
        if packed:
            return self._failed(tool.name, "a compressed answer")
        if len(body) > ANSWER_LIMIT:
            return self._failed(tool.name, f"an answer of more than {ANSWER_LIMIT} bytes")
        told = _json(body)
        if len(told) > JSON_LIMIT:  # what a text's quotes and controls become
            return self._failed(tool.name, f"an answer of {len(told)} characters as JSON")
        return told

    def message(self, request: TakeMessage, at: float) -> None:
        """Store a message for the company, and have it delivered."""
        fields = {"name": request.name, "phone": request.phone, "text": request.text}
        self._put(MessageTaken(self._channel.uuid, at=at, **fields))
        if url := self._secretary.events.message_url:
            body = json.dumps({"message": fields, "call": self._call()}, ensure_ascii=False)
            self._put(DeliveryQueued(url, "message", body, self._channel.uuid))

    def call_ended(self) -> None:
        """Have the record of the call delivered."""
        if url := self._secretary.events.call_ended_url:
            self._put(DeliveryQueued(url, "call_ended", "", self._channel.uuid))

    def _call(self) -> dict[str, str]:
        channel = self._channel
        return {
            "call_uuid": channel.uuid,
            "domain_uuid": channel.domain_uuid,
            "secretary_uuid": channel.secretary_uuid,
            "caller": channel.caller,
            "number": channel.number,
        }

    def _failed(self, name: str, why: str) -> str:
        log.warning("a webhook function failed", function=name, reason=why)
        return failure(f"{name} failed: {why}")


async def _read(content: StreamReader) -> bytes:
    """The whole body, or enough of it to see that it is too long."""
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > ANSWER_LIMIT:
            break
    return bytes(body)


def _json(body: bytes) -> str:
    """The answer as a JSON text that everybody can read, without NaN or half a character."""
    text = body.decode(errors="replace")
    try:
        result = json.dumps(json.loads(text), ensure_ascii=False, allow_nan=False)
        result.encode()
    except (ValueError, RecursionError):
        result = json.dumps({"result": text}, ensure_ascii=False)
    return result
