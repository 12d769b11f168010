"""Where hostile input comes in: right messages to begin with, and what takes them.

Each target is made anew for a batch of messages, as a connection or a call would be; ``take`` must
not raise, whatever it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from esl_controller.agents.factory import make_model
from esl_controller.call import events as ev
from esl_controller.call import snapshot
from esl_controller.call.agent import Said, ToolCall, Usage
from esl_controller.call.agent_events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentReady,
    AgentText,
    CallerTranscript,
    SpeechStarted,
    SpeechStopped,
    TranscriptMissing,
)
from esl_controller.call.conversation import Conversation
from esl_controller.call.machine import Call
from esl_controller.call.snapshot import Resumption, Snapshot, StoredSnapshot
from esl_controller.call.tools import Toolbox, ToolError
from esl_controller.config import loading
from esl_controller.config.model_settings import AgentSettings
from esl_controller.config.settings import SettingsError
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.reader import BLOCK_LIMIT
from esl_controller.freeswitch.wire import SwitchError
from esl_controller.secretaries import reading
from esl_controller.secretaries.persona import Persona
from tests.call.test_tools import GOOD_CALLS
from tests.call.world import secretary, tool_call
from tests.freeswitch.peer import OK, messages
from tests.fuzz.holding import Take, longest_hold
from tests.fuzz.models import LIVE, REALTIME
from tests.fuzz.streams import AUDIO, STREAMS, media_socket, stream_audio
from tests.paths import ROOT


@dataclass(frozen=True)
class Target:
    """``corpus``: right messages. ``open`` yields what takes mutated ones: a connection, or a call,
    which gets ``batch`` of them. ``held_s``: the CPU time that one may take."""

    name: str
    corpus: Sequence[bytes]
    open: Callable[[], AbstractContextManager[Take]]
    batch: int = 200
    held_s: float = 0.02  # a frame's time: the event loop waits for it


# --- the Event Socket -----------------------------------------------------------------------------

_CAPTURES: Final = ("conversation", "bridge", "caller_hangup", "transfer", "playback_break")


def _begun() -> list[bytes]:
    """The beginning of a connection with one event, for each event of the captures."""
    said = [message for name in _CAPTURES for message in messages(name)]
    return [said[0] + OK * 3 + event for event in said if b"text/event-plain" in event]


class _Nowhere:
    """A ``StreamWriter`` that takes everything."""

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    async def drain(self) -> None:
        """There is always room."""

    def close(self) -> None:
        """Nothing is open."""

    async def wait_closed(self) -> None:
        """Nothing was open."""

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def _connection(sent: bytes) -> None:
    """A connection on which FreeSWITCH says ``sent``, and closes it."""
    reader = asyncio.StreamReader(limit=BLOCK_LIMIT)
    reader.feed_data(sent)
    reader.feed_eof()
    writer = cast(asyncio.StreamWriter, _Nowhere())
    with contextlib.suppress(SwitchError):
        async with SwitchConnection.over(reader, writer) as switch:
            await switch.connect()
            switch.handle_events(lambda event: None)
            await switch.wait_lost()


@contextmanager
def event_socket() -> Iterator[Take]:
    with asyncio.Runner() as runner:
        yield lambda message: runner.run(longest_hold(_connection(message)))


# --- a model --------------------------------------------------------------------------------------


class _NoLimit:
    """The time to connect, in a session that needs none."""

    def expired(self) -> bool:
        return False

    def reschedule(self, when: float | None) -> None:
        """There is nothing to end."""


@contextmanager
def _model(kind: Literal["realtime", "live"]) -> Iterator[Take]:
    """A session that is confirmed at once, and what it does to a call."""
    settings = AgentSettings(kind=kind, base_url="http://127.0.0.1:9/v1")
    persona = Persona("m", "v", "en", "Be brief.")
    who = secretary()
    world = Call(
        Conversation(who, Toolbox(who), closed=False),
        max_call_s=600.0,
        fallback=None,
    )
    for event in (ev.Arrived(False), ev.Answered(), ev.StreamOpened(), ev.LaneOpened(8000)):
        world.handle(event, 0.0)

    def reported(event: AgentEvent) -> None:
        match event:
            case AgentAudio(item):
                world.handle(ev.ItemQueued(item), 1.0)
            case AgentAudioDone(item):
                world.handle(ev.ItemFinished(item, 20), 1.0)
            case AgentText() | CallerTranscript() | TranscriptMissing():
                pass
            case AgentReady():
                world.handle(AgentReady(takes_turns=kind == "live"), 1.0)
            case _:
                world.handle(event, 1.0)

    async def made() -> Any:
        agent: Any = make_model(settings).agent(persona, (), g711=False)
        agent._emit = reported
        agent._connection._limit = _NoLimit()
        agent._message((REALTIME if kind == "realtime" else LIVE)[0])
        return agent

    async def tell(agent: Any, message: bytes) -> float:
        began = time.thread_time()
        agent._message(message)
        agent.respond()
        return time.thread_time() - began

    with asyncio.Runner() as runner:
        agent = runner.run(made())
        yield lambda message: runner.run(tell(agent, message))


# --- what an operator writes ----------------------------------------------------------------------

IN_A_THREAD: Final = 0.2  # what is read there, or at the start, holds no event loop
EXAMPLE: Final = ROOT / "esl-controller.example.toml"
MODELS: Final = (
    b'[agent]\nmodel = "a"\n[[models]]\nname = "x"\nkey = "K"\nbase_url = "http://x/v1"\n'
    b'[[models]]\nname = "y"\nmodel = "b"\nvoice = "c"\n',
    b'models = [{name = "x", voice = "c"}, {name = "y", base_url = "http://y/v1"}]\n',
)
_EXAMPLES: Final = ROOT / "esl_controller" / "secretaries" / "examples"


def _tables(text: str) -> list[bytes]:
    """A file for each table of ``text``, which has the keys before the first one, too."""
    keys, *tables = re.split(r"^(?=\[)", text, flags=re.M)
    keys = "\n".join(line for line in keys.splitlines() if line[:1] not in ("", "#"))
    return [f"{keys}\n{table}".encode() for table in tables]


@contextmanager
def _file(take: Callable[[Path], None]) -> Iterator[Take]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "default.toml"

        def taken(message: bytes) -> None:
            path.write_bytes(message)
            take(path)

        yield taken


def _settings(path: Path) -> None:
    with contextlib.suppress(SettingsError):
        loading.describe(loading.load(path, {"OPENAI_API_KEY": "sk-1"}))


def _secretary(path: Path) -> None:
    found = reading.read(path, AgentSettings())
    assert (found.secretary is None) == bool(found.mistakes)


# --- what is stored of a call, and what a model asks for ------------------------------------------

SNAPSHOTS: Final = (
    StoredSnapshot(Snapshot()),
    StoredSnapshot(
        Snapshot(
            12.5, True, 3, 1, True, "Sales", "Bye.", "c1", "c2", 9.0,
            (tool_call("hold", "h1", seconds=20), tool_call("find", "f1")), "Desk", 2,
        ),
        "/var/rec/a.wav",
        Usage(input_text=3, seconds=1.5),
    ),
)  # fmt: skip


def _memory(message: bytes) -> None:
    """A call that goes on with what is stored, until twenty of its times have come."""
    if (stored := snapshot.load(message.decode(errors="replace"))) is None:
        return
    snapshot.dump(stored)
    who = secretary()
    conversation = Conversation(who, Toolbox(who), closed=False)
    call = Call(conversation, max_call_s=600.0, fallback=None)
    call.setup.resumption = Resumption(stored.memory.shifted(-7.0), (Said("agent", "Clinic"),))
    begun = (ev.Arrived(True), ev.StreamOpened(), ev.LaneOpened(8000), AgentReady())
    for event in (*begun, SpeechStarted(0, "u1"), SpeechStopped(0, "u1")):
        call.handle(event, 1.0)
    for _ in range(20):
        if (deadline := call.next_deadline()) is not None:
            call.handle(ev.TimeUp(), max(deadline, 1.0))
    str(call.describe())


def _arguments(message: bytes) -> None:
    name, _, arguments = message.decode(errors="replace").partition(" ")
    with contextlib.suppress(ToolError):
        Toolbox(secretary()).request(ToolCall("c1", name, arguments))


@contextmanager
def _plain(take: Take) -> Iterator[Take]:
    yield take


TARGETS: Final = (
    Target("event_socket", _begun(), event_socket),
    Target("realtime", REALTIME, lambda: _model("realtime")),
    Target("gpt_live", LIVE, lambda: _model("live")),
    Target(
        "settings",
        [*_tables(re.sub(r"^#(?=\w+ = )", "", EXAMPLE.read_text(), flags=re.M)), *MODELS],
        lambda: _file(_settings),
        held_s=IN_A_THREAD,
    ),
    Target(
        "secretary",
        [file for path in sorted(_EXAMPLES.glob("*.toml")) for file in _tables(path.read_text())],
        lambda: _file(_secretary),
        held_s=IN_A_THREAD,
    ),
    Target("memory", [snapshot.dump(each).encode() for each in SNAPSHOTS], lambda: _plain(_memory)),
    Target(
        "tool_arguments",
        [f"{name} {json.dumps(given)}".encode() for name, given, _ in GOOD_CALLS],
        lambda: _plain(_arguments),
    ),
    Target("stream_audio", AUDIO, stream_audio),
    Target("media_socket", STREAMS, media_socket),
)
