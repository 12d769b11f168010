"""All that a call can have done: what ``call.py`` decides and ``session.py`` performs. [core]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from esl_controller.call.events import ToolCall
from esl_controller.call.tools import AskServer, TakeMessage
from esl_controller.secretaries.schema import Destination


@dataclass(frozen=True)
class ConnectAgent:
    """Connect to the model, anew if there was a connection; report AgentReady or AgentFailed."""


@dataclass(frozen=True)
class Answer:
    """Answer the call; report Answered or AnswerFailed."""


@dataclass(frozen=True)
class StartStream:
    """Have the caller streamed to us; ``again``: stop first. Report StreamOpened/StreamFailed."""

    again: bool = False


@dataclass(frozen=True)
class OpenLane:
    """Open the UDP lane; report LaneOpened or LaneFailed."""


@dataclass(frozen=True)
class PlayFiles:
    """Speak by files instead of the lane; report FilesReady or FilesFailed."""


@dataclass(frozen=True)
class HearByLane:
    """Take the caller's audio from the lane: the stream cannot be had."""


@dataclass(frozen=True)
class SetGates:
    """Which audio passes from now on. Audio never visits the decisions; it passes these two gates.

    ``caller``, on the way to the agent: ``closed`` before the conversation, after it, and while the
    caller is on hold; ``secret`` while digits are typed that nobody may hear. ``agent``: whether
    the agent's speech goes to the caller.
    """

    caller: Literal["closed", "open", "secret"] = "closed"
    agent: bool = False


@dataclass(frozen=True)
class StartRecording:
    """Have the switch record the call."""


@dataclass(frozen=True)
class ConfirmTaken:
    """Tell the dialplan that the call is ours: if we are lost, its tries begin anew."""


@dataclass(frozen=True)
class LimitCall:
    """Have the switch end the call after ``seconds``, whatever becomes of us."""

    seconds: float


@dataclass(frozen=True)
class RequestReply:
    """Have the model speak: what the conversation asks for, or what ``instructions`` say."""

    instructions: str = ""


@dataclass(frozen=True)
class CancelReply:
    """Stop the response in flight."""


@dataclass(frozen=True)
class CheckSpeech:
    """Find out whether what the caller utters is speech; report SpeechConfirmed/SpeechDoubted."""


@dataclass(frozen=True)
class StopCheck:
    """What the caller uttered is over."""


@dataclass(frozen=True)
class Pause:
    """Be silent with the next frame, and lose nothing."""


@dataclass(frozen=True)
class Unpause:
    """Go on from the sample at which ``Pause`` stopped."""


@dataclass(frozen=True)
class Interrupt:
    """Be silent at once: drop what was not heard, tell the model what was."""


@dataclass(frozen=True)
class ForgetItem:
    """Have the model forget ``item`` of the caller: it was no speech."""

    item: str


@dataclass(frozen=True)
class TellModel:
    """Tell the model what cannot be heard."""

    text: str


@dataclass(frozen=True)
class AskWebhook:
    """Ask somebody else's server; report ToolDone. ``secure``: digits by argument name."""

    call_id: str
    request: AskServer
    secure: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class StoreMessage:
    """Store a message for the company, and send it on."""

    request: TakeMessage


@dataclass(frozen=True)
class ToolResult:
    """Give the model the result of a function call; ``output`` is a JSON text. ``last``: the
    conversation ends, and the model need not go on."""

    call: ToolCall
    output: str
    last: bool = False


@dataclass(frozen=True)
class SendDtmf:
    """Press keys towards the caller."""

    digits: str


@dataclass(frozen=True)
class PlayMusic:
    """Hold music for the caller, until it is switched off again."""

    on: bool


@dataclass(frozen=True)
class PlaySentence:
    """Play a bundled sentence to its end, instead of what waits; ``name`` is its item."""

    name: Literal["sorry", "moment", "back"]


@dataclass(frozen=True)
class Transfer:
    """Hand the caller to another destination; report Transferred or TransferFailed.

    ``returns``: how often the caller will have come back to us after that; 0: not at all.
    """

    destination: Destination
    returns: int = 0


@dataclass(frozen=True)
class Hangup:
    """End the call."""

    cause: str


@dataclass(frozen=True)
class Close:
    """The call is over for us: free everything. Always the last action, exactly once."""


@dataclass(frozen=True)
class Note:
    """A line for the log: what went wrong and what is done about it."""

    text: str
    reason: str


CallAction: TypeAlias = (
    Answer
    | ConfirmTaken
    | LimitCall
    | StartRecording
    | SendDtmf
    | Transfer
    | Hangup
    | Close
    | Note
    | ConnectAgent
    | SetGates
)
"""What the call's shell (``session/session.py``) does itself."""

MediaAction: TypeAlias = (
    StartStream | OpenLane | PlayFiles | HearByLane | PlaySentence | PlayMusic | Pause | Unpause
)
"""How the call is heard and spoken to (``session/media.py``)."""

AgentAction: TypeAlias = (
    RequestReply
    | CancelReply
    | CheckSpeech
    | StopCheck
    | Interrupt
    | ForgetItem
    | TellModel
    | AskWebhook
    | StoreMessage
    | ToolResult
)
"""What concerns the words of the caller and the model (``session/agent_session.py``)."""

Action: TypeAlias = CallAction | MediaAction | AgentAction
Actions: TypeAlias = list[Action]
