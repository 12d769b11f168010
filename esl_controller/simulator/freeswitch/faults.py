"""Misbehaviour on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CallStep = Literal["connecting", "connected", "answered", "streaming", "speaking"]
"""Where a caller can hang up: dialling the controller, its ``connect`` answered, the call
answered, the media WebSocket open, the first lane frame heard."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What the stand-in does wrong, for a switch or for one call. All times in seconds."""

    media_refused: bool = False
    """Every media WebSocket goes to a port that nobody listens on."""
    media_not_found: bool = False
    """Every media WebSocket asks for a path that does not exist (the server's 404)."""
    media_cut_after: float | None = None
    """The media connection is cut, without a close frame, this long after it opened; once."""
    media_mute: bool = False
    """Every media WebSocket opens and brings no audio, as both sptmru builds do on a channel once
    they have been refused a connection on it."""
    module_missing: bool = False
    """``uuid_audio_stream`` is no command here."""
    lane_bind_failures: int = 0
    """This many activations of the lane find their port taken; -1: all."""
    socket_cut_after: float | None = None
    """The Event Socket is reset this long after ``connect``; once."""
    socket_cut_after_commands: int | None = None
    """The Event Socket is reset instead of answering command number n (``connect`` is 1); once."""
    reply_delay: float = 0.0
    """How much later every reply on the Event Socket comes, in the same order."""
    garbage_after_commands: int | None = None
    """Before the reply to command number n come bytes that are no Event Socket message; once."""
    hangup_at: CallStep | None = None
    """The caller hangs up at this step."""
    hangup_after: float = 0.0
    """How long after ``hangup_at``."""
