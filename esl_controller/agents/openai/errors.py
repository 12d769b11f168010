"""What OpenAI's errors mean for a call: which recovery helps, and how long to wait first. [core]

The APIs name an error by ``code`` and ``type`` (``RealtimeError`` and ``live.Error`` of the
``openai`` package); the codes are listed at https://developers.openai.com/api/docs/guides/error-codes.
A close frame's reason is ``type.code``, an HTTP refusal has the same two in its body. Only the
message says when to try again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from esl_controller.agents.messages import told
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentFailed

LOGGED: Final = 10  # errors of one connection that are logged; all are counted
BODY_LIMIT: Final = 65_536  # bytes of a refusal's body that are read

_CODES: Final[dict[str, Recovery]] = {
    "conversation_already_has_active_response": Recovery.ASK_AGAIN,
    "rate_limit_exceeded": Recovery.ASK_AGAIN,
    "server_error": Recovery.ASK_AGAIN,
    "internal_error": Recovery.ASK_AGAIN,
    "overloaded": Recovery.ASK_AGAIN,
    "slow_down": Recovery.ASK_AGAIN,
    "session_expired": Recovery.RECONNECT,
    "insufficient_quota": Recovery.NEXT_MODEL,
    "billing_hard_limit_reached": Recovery.NEXT_MODEL,
    "billing_not_active": Recovery.NEXT_MODEL,
    "account_deactivated": Recovery.NEXT_MODEL,
    "invalid_api_key": Recovery.NEXT_MODEL,
    "model_not_found": Recovery.NEXT_MODEL,
    "invalid_model": Recovery.NEXT_MODEL,
}
_TYPES: Final[dict[str, Recovery]] = {
    "server_error": Recovery.ASK_AGAIN,
    "rate_limit_error": Recovery.ASK_AGAIN,
    "requests": Recovery.ASK_AGAIN,
    "tokens": Recovery.ASK_AGAIN,
    "insufficient_quota": Recovery.NEXT_MODEL,
    "authentication_error": Recovery.NEXT_MODEL,
    "permission_error": Recovery.NEXT_MODEL,
    # The request itself is wrong: the same again would be refused again.
    "invalid_request_error": Recovery.GIVE_UP,
}
_BUSY: Final = "already has an active response"  # some servers give it no code
_REFUSED_FOR_GOOD: Final = (400, 401, 403, 404)  # HTTP
_HINTS: Final = {
    401: "the key was refused: check OPENAI_API_KEY",
    403: "the key has no access to this model",
    404: "no such model or endpoint: check [agent] model and base_url",
    429: "too many requests, or the quota is used up",
}
_QUOTA_HINT: Final = "the quota is used up"
_WAIT: Final = re.compile(
    r"(?:try again|retry) (?:in|after) (?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?"
    r"(?:(\d{1,9}(?:\.\d{1,9})?) ?(ms|s))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelError:
    """An error in one line; ``recovery`` and ``after_s`` are as in ``AgentFailed``."""

    told: str
    recovery: Recovery
    after_s: float = 0.0


def of_event(error: Mapping[str, Any]) -> ModelError:
    """The ``error`` of an event. Raises AttributeError if it is no object."""
    line = told(error)
    recovery = classify(error.get("code"), error.get("type"))
    if _BUSY in line:
        recovery = Recovery.ASK_AGAIN
    return ModelError(line, recovery, _wait_s(line))


def of_http(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """A refusal of the WebSocket's handshake."""
    error = _error_in(body)
    recovery = Recovery.NEXT_MODEL if status in _REFUSED_FOR_GOOD else Recovery.RECONNECT
    hint = _HINTS.get(status, "")
    if classify(error.get("code"), error.get("type")) is Recovery.NEXT_MODEL:
        recovery = Recovery.NEXT_MODEL
        hint = _QUOTA_HINT if status == 429 else hint
    after_s = _seconds(headers.get("Retry-After-Ms")) / 1000 or _seconds(headers.get("Retry-After"))
    line = f"the model refused the connection: HTTP {status}{hint and '; ' + hint}"
    return ModelError(line, recovery, after_s or _wait_s(told(error)))


def of_close(code: int, reason: str) -> ModelError:
    """The model's close frame."""
    kind, _, name = reason.partition(".")
    gone = classify(name, kind) is Recovery.NEXT_MODEL
    line = f"the model closed the connection: {f'{code} {reason}'.strip()}"
    return ModelError(line, Recovery.NEXT_MODEL if gone else Recovery.RECONNECT)


def refused_session(error: ModelError) -> AgentFailed:
    """An error that came before the session was confirmed."""
    for_good = error.recovery in (Recovery.NEXT_MODEL, Recovery.GIVE_UP)
    recovery = Recovery.NEXT_MODEL if for_good else Recovery.RECONNECT
    return AgentFailed(f"the model refused the session: {error.told}", recovery, error.after_s)


def classify(code: object, kind: object) -> Recovery:
    """What helps against an error of this ``code`` and ``type``; one that we do not know may pass
    by itself."""
    known = _CODES.get(code) if isinstance(code, str) else None
    if known is None and isinstance(kind, str):
        known = _TYPES.get(kind)
    return known or Recovery.ASK_AGAIN


def _error_in(body: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(body) if len(body) <= BODY_LIMIT else None
    except ValueError:
        return {}
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else {}


def _wait_s(line: str) -> float:
    """How long a message such as "Please try again in 1m26.4s." wants us to wait, or 0."""
    found = _WAIT.search(line)
    if found is None:
        return 0.0
    hours, minutes, number, unit = found.groups(default="0")
    seconds = float(number) / (1000 if unit.lower() == "ms" else 1)
    return int(hours) * 3600 + int(minutes) * 60 + seconds


def _seconds(header: str | None) -> float:
    """A header that counts seconds or milliseconds; 0 for a date, which no API of these sends."""
    text = (header or "").strip()
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else 0.0
