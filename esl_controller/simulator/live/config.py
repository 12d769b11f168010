"""A session's configuration: what session.start asked for, and session.started shows."""

from __future__ import annotations

from typing import Any, Final

from esl_controller.simulator.model_base.validation import ProtocolError
from media.frame import PCMA, PCMU, pcm

_FORMATS: Final = {
    ("audio/pcm", 16_000): pcm(16_000),
    ("audio/pcm", 24_000): pcm(24_000),
    ("audio/pcmu", 8_000): PCMU,
    ("audio/pcma", 8_000): PCMA,
}
_DEFAULT_FORMAT: Final = {"type": "audio/pcm", "rate": 24_000}
_MOST_ITEMS: Final = 128


class LiveConfig:
    """What follows from the `session` of a session.start that has passed the checks of its type.

    Raises ProtocolError for what the API's reference refuses, and for what this stand-in cannot do:
    delegation to anything but Responses.
    """

    def __init__(self, session_id: str, session: dict[str, Any], expires_at: int) -> None:
        asked = session.get("audio", {})
        form = asked.get("format", _DEFAULT_FORMAT)
        key = (form["type"], form["rate"])
        if key not in _FORMATS:
            raise ProtocolError(
                "invalid_value", f"No {form['type']} at {form['rate']} Hz.", "session.audio.format"
            )
        self.format = _FORMATS[key]
        items = session.get("input", [])
        if len(items) > _MOST_ITEMS:
            raise ProtocolError(
                "invalid_value", f"At most {_MOST_ITEMS} messages of history.", "session.input"
            )
        if any(len(item["content"]) != 1 for item in items):
            raise ProtocolError(
                "invalid_value", "A message has exactly one text part.", "session.input"
            )
        delegation = session.get("delegation")
        if delegation is None or delegation["type"] != "responses":
            raise ProtocolError(
                "not_supported", "The stand-in delegates to Responses.", "session.delegation"
            )
        self.backend_model: str = delegation["responses"]["model"]
        self.body: dict[str, Any] = {
            **session,
            "id": session_id,
            "expires_at": expires_at,
            "status": "active",
            "audio": {"format": form, "output": {"voice": "marin", **asked.get("output", {})}},
        }
