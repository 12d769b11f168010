"""Everything that can happen to a call. [core]

The switch, the media server, the lane and the agent report these; ``call.py`` decides on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

# --- the switch -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrived:
    """FreeSWITCH handed us the call.

    ``answered``: somebody did that already (we are resumed). ``codec_known``: it says which codec
    the caller has; with late negotiation that is known only when the call is answered.
    """

    answered: bool
    codec_known: bool = True


@dataclass(frozen=True)
class Answered:
    """CHANNEL_ANSWER: media flows from now on (captures/conversation.jsonl).

    ``codec`` and its ``rate`` in Hz are the caller's; empty and 0 where they are not told.
    """

    codec: str = ""
    rate: int = 0


@dataclass(frozen=True)
class AnswerFailed:
    """The switch refused to answer, or did not say so in time."""

    reason: str


@dataclass(frozen=True)
class HungUp:
    """CHANNEL_HANGUP: either side ended the call; ``cause`` is FreeSWITCH's name for it."""

    cause: str


@dataclass(frozen=True)
class SwitchLost:
    """The Event Socket connection is gone. The call may live on at the switch (socket_resume)."""

    reason: str


# --- hearing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamOpened:
    """mod_audio_stream's WebSocket brings audio, for the first time or again."""


@dataclass(frozen=True)
class StreamClosed:
    """The WebSocket is gone; some builds come back by themselves within 20 ms."""

    code: int


@dataclass(frozen=True)
class StreamFailed:
    """The module could not connect, or refused the command. ``missing``: trying again is no use, it
    is not there, or it is connected and mute."""

    reason: str
    missing: bool = False


# --- speaking -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LaneOpened:
    """FreeSWITCH sends and takes frames at ``rate`` Hz."""

    rate: int


@dataclass(frozen=True)
class LaneFailed:
    """No port would open, or an open lane was closed by something that resets the channel."""

    reason: str


@dataclass(frozen=True)
class FilesReady:
    """Replies can be played as files (the fallback, or what the settings ask for)."""


@dataclass(frozen=True)
class FilesFailed:
    """Replies cannot be played as files either."""

    reason: str


@dataclass(frozen=True)
class ItemStarted:
    """The first frame of ``item`` goes to the caller."""

    item: str


@dataclass(frozen=True)
class ItemFinished:
    """The caller has heard ``item`` to its last sample: ``heard_ms`` milliseconds."""

    item: str
    heard_ms: int


@dataclass(frozen=True)
class ItemQueued:
    """The agent's first audio of ``item`` is in the playout."""

    item: str


# --- the caller -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpeechConfirmed:
    """What the model takes for speech is speech (media/speech_check.py)."""


@dataclass(frozen=True)
class SpeechDoubted:
    """It is a cough, an echo, a noise; unless speech follows, and is told then."""


@dataclass(frozen=True)
class Dtmf:
    """The caller pressed a key: one of 0-9, *, #, A-D. Never to be logged."""

    digit: str = field(repr=False)


# --- the agent ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgentReady:
    """The model has confirmed the session: it may be sent audio and asked to speak."""


@dataclass(frozen=True)
class AgentFailed:
    """The connection to the model is gone or never came. ``reason`` says why and what to do;
    ``permanent``: to try again is of no use."""

    reason: str
    permanent: bool = False


@dataclass(frozen=True)
class SpeechStarted:
    """The model hears the caller speak. ``at_ms``: its own count of the caller's audio; ``item``:
    the turn that begins, if the model names it; ``late_ms``: so long ago, if the model tells."""

    at_ms: int
    item: str = ""
    late_ms: float = 0.0


@dataclass(frozen=True)
class SpeechStopped:
    """The caller stopped speaking. Fields as in ``SpeechStarted``."""

    at_ms: int
    item: str = ""
    late_ms: float = 0.0


@dataclass(frozen=True)
class ResponseStarted:
    """The model began response ``id``."""

    id: str


@dataclass(frozen=True)
class ToolCall:
    """A function that a response calls; ``arguments`` is a JSON text, not checked."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Usage:
    """What a response cost: tokens, of which ``cached`` are part of the input; and ``seconds`` of a
    model that is paid by time, since the response before."""

    input_text: int = 0
    input_audio: int = 0
    cached: int = 0
    output_text: int = 0
    output_audio: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class ResponseDone:
    """Response ``id`` is over: ``status`` is completed, cancelled, incomplete or failed.

    ``calls`` are in the order in which the model made them; those of a response that was not
    completed are not to be run.
    """

    id: str
    status: str
    reason: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()


@dataclass(frozen=True)
class AgentAudio:
    """Speech of ``item`` in the agent's output format. Never reaches the core."""

    item: str
    data: bytes


@dataclass(frozen=True)
class AgentAudioDone:
    """The model has sent all audio of ``item``. Never reaches the core."""

    item: str


@dataclass(frozen=True)
class AgentText:
    """A piece of the words of ``item``, roughly in step with its audio. Never reaches the core."""

    item: str
    text: str


@dataclass(frozen=True)
class CallerTranscript:
    """The whole text of a caller's turn ``item``; it may come seconds after the answer to it."""

    item: str
    text: str


# --- what was done --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToolDone:
    """A function call that took its time is done; ``output`` is a JSON text for the model."""

    call_id: str
    output: str


@dataclass(frozen=True)
class Transferred:
    """The switch took the caller to another destination."""


@dataclass(frozen=True)
class TransferFailed:
    """It did not, and the caller is still ours."""

    reason: str


# --- the controller -------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeUp:
    """The deadline that the core had asked for has come."""


@dataclass(frozen=True)
class ShutDown:
    """Let go of the call without ending it: the switch goes on with the dialplan."""


Event: TypeAlias = (
    Arrived
    | Answered
    | AnswerFailed
    | HungUp
    | SwitchLost
    | StreamOpened
    | StreamClosed
    | StreamFailed
    | LaneOpened
    | LaneFailed
    | FilesReady
    | FilesFailed
    | ItemQueued
    | ItemStarted
    | ItemFinished
    | SpeechConfirmed
    | SpeechDoubted
    | Dtmf
    | ToolDone
    | Transferred
    | TransferFailed
    | AgentReady
    | AgentFailed
    | SpeechStarted
    | SpeechStopped
    | ResponseStarted
    | ResponseDone
    | TimeUp
    | ShutDown
)

MediaEvent: TypeAlias = (
    StreamOpened | StreamClosed | StreamFailed | LaneOpened | LaneFailed | FilesReady | FilesFailed
)
"""News of how the call is heard and spoken to."""

AgentEvent: TypeAlias = (
    AgentReady
    | AgentFailed
    | SpeechStarted
    | SpeechStopped
    | ResponseStarted
    | ResponseDone
    | AgentAudio
    | AgentAudioDone
    | AgentText
    | CallerTranscript
)
