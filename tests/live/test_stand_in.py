"""The FreeSWITCH stand-in held against FreeSWITCH: the same call, the same controller.

A relay before the controller writes down what each of them says on the Event Socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pytest

from esl_controller.config.loading import load
from esl_controller.server.app import running
from esl_controller.simulator.freeswitch import SwitchStandIn
from esl_controller.simulator.freeswitch.stream import Build
from esl_controller.simulator.model import ModelFaults, ModelStandIn
from tests.live.freeswitch import FreeSwitch, free_port
from tests.live.rig import dialled, environment, live, until
from tests.simulator.freeswitch.rig import Message, parse

Scenario = Literal["hangup", "files", "refused key", "no module", "media nowhere"]

OPTIONAL = {"CHANNEL_PARK"}
STREAM = "mod_audio_stream::"
"""Depends on whether ``myevents`` or the channel's next tick came first."""
BY_PORT = {
    *("variable_sip_via_port", "variable_sip_to_tag", "variable_sip_cseq"),
    "variable_controller_again",
}
"""The first is there where the caller's SIP port is not 5060, as with ours; the next two once the
ACK has come, which it does at a time of its own; the last once the controller has set it."""


@dataclass
class Wire:
    """What a switch said, connection by connection."""

    port: int = 0
    messages: list[Message] = field(default_factory=list)

    def told(self, kind: str) -> list[str]:
        """The labels of one kind of messages in their order. Events of the module are a kind of
        their own: its thread tells of them while the channel's goes on."""
        kept = [m for m in self.messages if m.label not in OPTIONAL]
        return [label(m) for m in kept if kind == ("stream" if STREAM in m.label else m.kind)]

    def headers(self) -> dict[str, set[str]]:
        """All header names seen with a label."""
        seen: dict[str, set[str]] = defaultdict(set)
        for message in self.messages:
            seen[label(message)] |= message.names
        return seen


def label(message: Message) -> str:
    """A message's name; an application's with it, a reply's with how it begins."""
    if message.kind == "reply":
        text = message.get("Reply-Text") or message.body
        return f"{message.label} {text.split()[0] if text.strip() else ''}".strip()
    return f"{message.label} {message.get('Application')}".strip()


@contextlib.asynccontextmanager
async def relay(port: int, target: int) -> AsyncIterator[Wire]:
    """Pass connections to ``port`` on to the controller at ``target``, and listen."""
    wire = Wire()

    async def pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: bytearray | None
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if note is not None:
                    note += data
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        said = bytearray()
        await asyncio.gather(pass_on(reader, back, said), pass_on(there, writer, None))
        wire.messages += messages(bytes(said))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await server.wait_closed()


def messages(data: bytes) -> Iterator[Message]:
    """Take a connection's bytes apart."""
    while data:
        head, _, rest = data.partition(b"\n\n")
        lines = (line.partition(b": ") for line in head.split(b"\n"))
        length = next((int(value) for name, _, value in lines if name == b"Content-Length"), 0)
        yield parse((head + b"\n\n" + rest[:length]).decode())
        data = rest[length:]


def settings(scenario: Scenario) -> dict[str, str]:
    playback = "file" if scenario == "files" else "lane"
    url = f"ws://127.0.0.1:{free_port()}" if scenario == "media nowhere" else ""
    return {"MEDIA_PLAYBACK": playback, "MEDIA_PUBLIC_URL": url, "ESL_PORT": "0"}


def model(scenario: Scenario) -> dict[str, Any]:
    return {"faults": ModelFaults(refuse_key="http" if scenario == "refused key" else None)}


async def on_the_real_one(switch: FreeSwitch, scenario: Scenario) -> Wire:
    """One call through FreeSWITCH: greeted, then the caller hangs up (or we do)."""
    async with (
        live(switch, model(scenario), **settings(scenario)) as of,
        relay(switch.controller_port, of.controller.calls.port) as wire,
    ):
        async with dialled(switch) as phone:
            if scenario == "refused key":
                await phone.ended()
            else:
                await phone.hears_speech()
                await phone.hears_silence(1.0)
        await of.all_over()
    return wire


async def on_the_stand_in(switch: FreeSwitch, scenario: Scenario) -> Wire:
    """The same through the stand-in; ``switch`` only names the build."""
    build: Build = "amigniter" if "amigniter" in switch.build.name else "sptmru"
    async with ModelStandIn(**model(scenario)) as standin:
        loaded = load(None, environment(switch, standin.base_url, **settings(scenario)))
        async with (
            running(loaded.settings) as controller,
            relay(0, controller.calls.port) as wire,
            SwitchStandIn(
                f"127.0.0.1:{wire.port}", build=None if scenario == "no module" else build
            ) as pbx,
        ):
            call = await pbx.call()
            if scenario == "refused key":
                await call.ended()
            else:
                await call.wait_heard()
                await call.wait_silence(1.0)
                call.hangup()
            await until(lambda: not controller.calls.calls)
    return wire


@contextlib.contextmanager
def without_module(switch: FreeSwitch, scenario: Scenario) -> Iterator[None]:
    if scenario != "no module":
        yield
        return
    switch.api("unload mod_audio_stream")
    try:
        yield
    finally:
        switch.load_stream_module()


@pytest.mark.parametrize("scenario", get_args(Scenario))
async def test_both_say_the_same(switch: FreeSwitch, scenario: Scenario) -> None:
    with without_module(switch, scenario):
        real = await on_the_real_one(switch, scenario)
    played = await on_the_stand_in(switch, scenario)
    for kind in ("reply", "event", "stream", "notice"):
        ours, theirs = played.told(kind), real.told(kind)
        if scenario == "media nowhere" and kind == "reply":
            # A stop comes before or after the module has given up by itself: +OK or -ERR.
            ours, theirs = ([text.split()[0] for text in told] for told in (ours, theirs))
        if kind == "event" and ours[0] in theirs:
            # A busy FreeSWITCH still delivers what the dialplan did before the controller asked.
            theirs = theirs[theirs.index(ours[0]) :]
        # The controller closes at the hangup: how much it is told of what follows is by chance.
        least = theirs.index("CHANNEL_HANGUP") + 1 if kind == "event" else 0
        length = max(least, min(len(ours), len(theirs)))
        assert ours[:length] == theirs[:length], kind
    said, truth = played.headers(), real.headers()
    differences = {
        name: (truth[name] - said[name] - BY_PORT, said[name] - truth[name] - BY_PORT)
        for name in truth.keys() & said.keys()
        if (truth[name] ^ said[name]) - BY_PORT
    }
    assert differences == {}, "headers that the stand-in lacks, and those that it has besides"
