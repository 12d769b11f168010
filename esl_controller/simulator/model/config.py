"""A session's configuration: the defaults of the GA API, and what session.update changes.

Shape: RealtimeSessionCreateRequest and RealtimeSessionCreateResponse of the `openai` package; the
defaults are those that their docstrings state.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from esl_controller.simulator.model_base.validation import ProtocolError
from media.frame import PCMA, PCMU, Format, pcm
from media.voice_activity import VoiceActivity

MODEL_FORMAT: Final = pcm(24_000)

_G711: Final = {"audio/pcmu": PCMU, "audio/pcma": PCMA}
_SERVER_VAD: Final[dict[str, Any]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD: Final[dict[str, Any]] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
# The stand-in understands no words: only silence ends a turn for it.
_EAGERNESS_MS: Final = {"low": 900, "medium": 500, "auto": 500, "high": 300}


class SessionConfig:
    """What session.created and session.updated show, and what follows from it."""

    def __init__(self, session_id: str, model: str, expires_at: int) -> None:
        self.body: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": MODEL_FORMAT.rate},
                    "noise_reduction": None,
                    "transcription": None,
                    "turn_detection": dict(_SERVER_VAD),
                },
                "output": {
                    "format": {"type": "audio/pcm", "rate": MODEL_FORMAT.rate},
                    "voice": "marin",
                    "speed": 1.0,
                },
            },
        }

    @property
    def input_format(self) -> Format:
        """How the caller's audio is written."""
        return _format(self.body["audio"]["input"]["format"])

    @property
    def output_format(self) -> Format:
        """How the model's audio is written."""
        return _format(self.body["audio"]["output"]["format"])

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """The settings of voice activity; None: the client commits turns itself."""
        detection: dict[str, Any] | None = self.body["audio"]["input"]["turn_detection"]
        return detection

    @property
    def transcribes(self) -> bool:
        """Whether the caller's words are wanted as text."""
        return self.body["audio"]["input"]["transcription"] is not None

    def voice_activity(self) -> VoiceActivity | None:
        """A new detector with the current settings."""
        detection = self.turn_detection
        if detection is None:
            return None
        if detection["type"] == "semantic_vad":
            silence_ms = _EAGERNESS_MS[detection["eagerness"]]
            return VoiceActivity(self.input_format.rate, silence_ms=silence_ms)
        return VoiceActivity(
            self.input_format.rate,
            threshold=detection["threshold"],
            silence_ms=detection["silence_duration_ms"],
            prefix_ms=detection["prefix_padding_ms"],
        )

    def update(self, session: dict[str, Any], *, has_spoken: bool) -> None:
        """Apply a session.update that `validation.check` has passed.

        Raises ProtocolError, and changes nothing, for what the GA API refuses (another
        model; another voice after the model has spoken) and what this stand-in cannot do
        (transcription sessions, text).
        """
        if session["type"] != "realtime":
            raise ProtocolError(
                "not_supported", "The stand-in has realtime sessions only.", "session.type"
            )
        if session.get("output_modalities", ["audio"]) != ["audio"]:
            raise ProtocolError(
                "not_supported", "The stand-in answers in audio only.", "session.output_modalities"
            )
        if session.get("model", self.body["model"]) != self.body["model"]:
            raise ProtocolError(
                "invalid_value", "The model of a session cannot change.", "session.model"
            )
        changed = copy.deepcopy(self.body)
        audio = session.get("audio", {})
        changed.update({k: v for k, v in session.items() if k not in ("audio", "type")})
        changed["audio"]["input"].update(audio.get("input", {}))
        changed["audio"]["output"].update(audio.get("output", {}))
        _complete(changed["audio"])
        voice = changed["audio"]["output"]["voice"]
        if has_spoken and voice != self.body["audio"]["output"]["voice"]:
            raise ProtocolError(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
                "session.audio.output.voice",
            )
        self.body = changed

    def insist(self, side: str, kind: str, rate: int) -> None:
        """Use another format than was asked for; ``rate`` is that of audio/pcm, 0 the usual one."""
        form: dict[str, Any] = {"type": kind}
        if kind == "audio/pcm":
            form["rate"] = rate or MODEL_FORMAT.rate
        self.body["audio"][side]["format"] = form


def _format(form: dict[str, Any]) -> Format:
    return pcm(form["rate"]) if form["type"] == "audio/pcm" else _G711[form["type"]]


def _complete(audio: dict[str, Any]) -> None:
    """Fill in what a partial format or turn detection leaves open; check its ranges."""
    for side in ("input", "output"):
        kind = audio[side]["format"].setdefault("type", "audio/pcm")
        if kind == "audio/pcm":
            audio[side]["format"]["rate"] = MODEL_FORMAT.rate
    detection = audio["input"]["turn_detection"]
    if detection is None:
        return
    defaults = _SERVER_VAD if detection["type"] == "server_vad" else _SEMANTIC_VAD
    audio["input"]["turn_detection"] = detection = {**defaults, **detection}
    path = "session.audio.input.turn_detection"
    if not 0 <= detection.get("threshold", 0) <= 1:
        raise ProtocolError(
            "invalid_value",
            f"Invalid '{path}.threshold': not between 0 and 1.",
            f"{path}.threshold",
        )
    for name in ("prefix_padding_ms", "silence_duration_ms"):
        if detection.get(name, 0) < 0:
            raise ProtocolError(
                "integer_below_min_value", f"Invalid '{path}.{name}': below 0.", f"{path}.{name}"
            )
