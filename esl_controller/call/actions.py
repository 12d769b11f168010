"""Everything that the core can have done to a call. [core]

``machine.py`` and ``conversation.py`` decide on these, ``session/`` performs them. Each belongs to
one of four groups, by the module of ``session/`` that performs it (the aliases at the end). An
action that is in a group and not performed there fails the type check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from esl_controller.call.agent import ToolCall
from esl_controller.call.tools import AskServer, TakeMessage
from esl_controller.secretaries.schema import Destination


@dataclass(frozen=True)
class ConnectAgent:
    """Connect to the model, in place of a connection before; report AgentReady or AgentFailed.
    ``place``: which one of those that the call may have, counted from 0."""

    place: int = 0


@dataclass(frozen=True)
class Answer:
    """Answer the call; report Answered or AnswerFailed."""


@dataclass(frozen=True)
class StartStream:
    """Have mod_audio_stream send us the caller's audio; ``again``: stop it first. Report
    StreamOpened or StreamFailed."""

    again: bool = False


@dataclass(frozen=True)
class OpenLane:
    """Open the UDP lane; report LaneOpened or LaneFailed."""


@dataclass(frozen=True)
class NewPark:
    """Have the switch hand us the call again, because a park has one lane only; report Parked or
    ParkFailed. ``parks``: how often that will have been done."""

    parks: int


@dataclass(frozen=True)
class PlayFiles:
    """Speak by files instead of the lane; report FilesReady or FilesFailed."""


@dataclass(frozen=True)
class HearByLane:
    """Take the caller's audio from the lane, until the stream brings it again."""


@dataclass(frozen=True)
class SetGates:
    """Which audio passes from now on (``gates.py``).

    ``caller``, on the way to the agent: ``closed`` before the conversation, after it and while hold
    music plays; ``silent`` while the caller holds us, or types digits that nobody may hear: then
    only an agent whose clock is the caller's audio gets any, and that is silence. ``agent``:
    whether the agent's speech goes to the caller.
    """

    caller: Literal["closed", "open", "silent"] = "closed"
    agent: bool = False


@dataclass(frozen=True)
class StartRecording:
    """Have the switch record the call."""


@dataclass(frozen=True)
class ConfirmTaken:
    """Tell the dialplan that we have the call: if we are killed, its ladder begins anew."""


@dataclass(frozen=True)
class LimitCall:
    """Have the switch end the call after ``seconds``, even if no controller has it then."""

    seconds: float


@dataclass(frozen=True)
class RequestReply:
    """Request a response of the model: by ``instructions``, or as the conversation asks for."""

    instructions: str = ""


@dataclass(frozen=True)
class CancelReply:
    """Cancel the response in flight."""


@dataclass(frozen=True)
class CheckSpeech:
    """Find out whether the sound that the caller makes is speech; report SpeechConfirmed or
    SpeechDoubted."""


@dataclass(frozen=True)
class StopCheck:
    """End the check: no verdict is wanted any more."""


@dataclass(frozen=True)
class Pause:
    """Fall silent with the next frame, and keep what is in the playout."""


@dataclass(frozen=True)
class Unpause:
    """Go on from the sample at which ``Pause`` stopped."""


@dataclass(frozen=True)
class HoldSpeech:
    """The caller holds us: send silence, and keep what is in the playout. What was sent since the
    caller can no longer hear us is put back into it: it was not heard."""


@dataclass(frozen=True)
class ReleaseSpeech:
    """The caller is back: go on from the first sample that was not heard."""


@dataclass(frozen=True)
class Interrupt:
    """Fall silent: drop what was not heard, and tell the model what was."""


@dataclass(frozen=True)
class ForgetItem:
    """Have the model forget ``item`` of the caller: it was no speech."""

    item: str


@dataclass(frozen=True)
class TellModel:
    """Tell the model, as a text, something that it cannot hear."""

    text: str


@dataclass(frozen=True)
class AskWebhook:
    """Ask the operator's server; report WebhookDone. ``secure``: secret digits by argument."""

    call_id: str
    request: AskServer
    secure: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class StoreMessage:
    """Store a message for the company, and queue its delivery."""

    request: TakeMessage


@dataclass(frozen=True)
class ToolResult:
    """Give the model the result of a function call; ``output`` is a JSON text. ``last``: it is not
    to go on from there by itself."""

    call: ToolCall
    output: str
    last: bool = False


@dataclass(frozen=True)
class SendDtmf:
    """Send DTMF to the caller."""

    digits: str


@dataclass(frozen=True)
class PlayMusic:
    """Hold music for the caller, until it is switched off again."""

    on: bool


@dataclass(frozen=True)
class PlaySentence:
    """Play a bundled sentence to its end, in place of what is in the playout; ``name`` is its
    item."""

    name: Literal["sorry", "moment", "back"]


@dataclass(frozen=True)
class Transfer:
    """Transfer the caller; report Transferred or TransferFailed.

    ``returns``: how often the caller will have come back to us after this transfer; 0: they do not
    come back. ``fallback``: for want of a model; then they come back only if nobody was reached.
    """

    destination: Destination
    returns: int = 0
    fallback: bool = False


@dataclass(frozen=True)
class Hangup:
    """End the call."""

    cause: str


@dataclass(frozen=True)
class Close:
    """The call is over for us: free everything. Always the last action, and only once."""


@dataclass(frozen=True)
class Note:
    """A line for the log and the record: what went wrong, and what is done about it."""

    text: str
    reason: str


CallAction: TypeAlias = NewPark | Close | Note | ConnectAgent | SetGates
"""What ``session/session.py`` does itself."""

SwitchAction: TypeAlias = (
    Answer | ConfirmTaken | LimitCall | StartRecording | SendDtmf | Transfer | Hangup
)
"""What the switch is asked to do (``session/at_switch.py``)."""

MediaAction: TypeAlias = (
    StartStream | OpenLane | PlayFiles | HearByLane | PlaySentence | PlayMusic | Pause | Unpause
)
"""How the call hears and speaks (``session/media.py``)."""

AgentAction: TypeAlias = (
    RequestReply
    | CancelReply
    | CheckSpeech
    | StopCheck
    | HoldSpeech
    | ReleaseSpeech
    | Interrupt
    | ForgetItem
    | TellModel
    | AskWebhook
    | StoreMessage
    | ToolResult
)
"""What concerns the words of the caller and the model (``session/agent_session.py``)."""

Action: TypeAlias = CallAction | SwitchAction | MediaAction | AgentAction
Actions: TypeAlias = list[Action]
