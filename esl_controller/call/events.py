"""Everything that can happen to a call. [core]

The switch, the stream and the playout report these, and the agent those of ``agent_events.py``.
``machine.py`` and ``conversation.py`` decide on them, each by its table at the end. A new event
needs a row in one of them, or a test fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from esl_controller.call.agent_events import CoreEvent

# --- the switch -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrived:
    """FreeSWITCH handed us the call.

    ``answered``: it was answered before, by a controller that is gone. ``codec_known``: the
    caller's codec is known; with late negotiation it is not before the call is answered. ``held``:
    the caller's phone has put us on hold. ``parks``: how often the call was given a new park.
    """

    answered: bool
    codec_known: bool = True
    held: bool = False
    parks: int = 0


@dataclass(frozen=True)
class Answered:
    """CHANNEL_ANSWER: media flows from now on (captures/conversation.jsonl).

    ``codec`` and its ``rate`` in Hz are the caller's; "" and 0 if FreeSWITCH does not say.
    """

    codec: str = ""
    rate: int = 0


@dataclass(frozen=True)
class AnswerFailed:
    """The switch refused to answer the call, or did not reply in time."""

    reason: str


@dataclass(frozen=True)
class HungUp:
    """CHANNEL_HANGUP: either side ended the call; ``cause`` is FreeSWITCH's name for it.

    ``unreached``: the cause for which nobody had the caller after a transfer, or empty.
    ``instead``: the same where a mailbox or an announcement had the caller.
    """

    cause: str
    unreached: str = ""
    instead: str = ""


@dataclass(frozen=True)
class SwitchLost:
    """The Event Socket connection is gone. The call may live on at the switch, which then dials a
    controller again (socket_resume)."""

    reason: str


@dataclass(frozen=True)
class Held:
    """CHANNEL_HOLD: the caller's phone has put us on hold. From now on nobody hears what we send,
    and what comes is silence or their music (captures/hold.jsonl)."""


@dataclass(frozen=True)
class Unheld:
    """CHANNEL_UNHOLD: the caller is back, and the lane works at once."""


@dataclass(frozen=True)
class CodecChanged:
    """CODEC: the switch has set the caller's codec (captures/codec_change.1.jsonl). ``other``: to
    another one; if not, the packet time may have changed, or a file was played."""

    other: bool


# --- hearing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamOpened:
    """Audio comes over mod_audio_stream's WebSocket, for the first time or again."""


@dataclass(frozen=True)
class StreamClosed:
    """The WebSocket is gone; some builds come back by themselves within 20 ms."""

    code: int


@dataclass(frozen=True)
class StreamFailed:
    """The module could not connect, or refused the command.

    ``missing``: another try is of no use: the module is not loaded, or it is connected and sends
    nothing.
    """

    reason: str
    missing: bool = False


# --- speaking -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LaneOpened:
    """FreeSWITCH sends and takes the lane's frames, at ``rate`` Hz."""

    rate: int


@dataclass(frozen=True)
class LaneFailed:
    """The lane did not open, or FreeSWITCH closed it, as whatever resets the channel does."""

    reason: str


@dataclass(frozen=True)
class Parked:
    """The switch has handed us the call again, in the new park that we asked for. ``held``: the
    caller's phone holds us now."""

    held: bool


@dataclass(frozen=True)
class ParkFailed:
    """The switch refused to give the call a new park."""

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
    """The first frame of ``item`` goes to the caller. Also of music and of our own sentences, as
    for ``ItemFinished``."""

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
    """What the model took for speech is speech (media/speech_check.py)."""


@dataclass(frozen=True)
class SpeechDoubted:
    """It is a cough, an echo or noise so far; SpeechConfirmed may still follow."""


@dataclass(frozen=True)
class ToneHeard:
    """What the model takes for speech is a machine's tone by now (media/tone_check.py); ``alone``:
    it was nothing else before."""

    alone: bool


@dataclass(frozen=True)
class Dtmf:
    """The caller pressed a key: one of 0-9, *, #, A-D. Never to be logged."""

    digit: str = field(repr=False)


# --- what was done --------------------------------------------------------------------------------


@dataclass(frozen=True)
class WebhookDone:
    """The server has answered a webhook function, or has failed to; ``output`` is a JSON text for
    the model."""

    call_id: str
    output: str


@dataclass(frozen=True)
class Transferred:
    """The switch has taken the caller to the destination."""


@dataclass(frozen=True)
class TransferFailed:
    """The switch refused the transfer: the caller is still with us."""

    reason: str


# --- the controller -------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeUp:
    """The deadline that the core asked for (``Call.next_deadline``) has come."""


@dataclass(frozen=True)
class ShutDown:
    """Give the call back to the switch without ending it: the dialplan goes on."""


MediaEvent: TypeAlias = (
    CodecChanged
    | StreamOpened
    | StreamClosed
    | StreamFailed
    | LaneOpened
    | LaneFailed
    | Parked
    | ParkFailed
    | FilesReady
    | FilesFailed
)
"""Those that ``media_path.py`` decides on."""

Event: TypeAlias = (
    Arrived
    | Answered
    | AnswerFailed
    | HungUp
    | SwitchLost
    | Held
    | Unheld
    | MediaEvent
    | ItemQueued
    | ItemStarted
    | ItemFinished
    | SpeechConfirmed
    | SpeechDoubted
    | ToneHeard
    | Dtmf
    | WebhookDone
    | Transferred
    | TransferFailed
    | CoreEvent
    | TimeUp
    | ShutDown
)
