"""Contract: the stand-in says what FreeSWITCH said, capture by capture.

The controller's side of each capture is replayed, and every message that comes back is held
against the captured one: its kind, its place among its kind, reply texts and bodies, the names of
all headers, the values that do not differ from call to call, the encoding and every length.
Replies, events and notices are each in order; between the three there is no order to rely on
(they come from different threads: compare ``invalid_application`` with ``conversation``).
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import wave
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
import pytest

from esl_controller.simulator.freeswitch import Action, CallStandIn, Ladder, SwitchStandIn
from tests.simulator.switch_rig import (
    AGENT,
    Controller,
    ControllerServer,
    MediaServer,
    Message,
    capture,
    dial,
    parse,
)

PAUSE = 0.03
"""Pauses of the captured controller last so long at most, in seconds."""

OPTIONAL = ("CHANNEL_PARK",)
"""Depends on whether ``myevents`` or the next tick came first; some captures have it not."""

SAME = (
    *("Channel-State", "Channel-Call-State", "Channel-State-Number", "Answer-State"),
    *("Hangup-Cause", "Call-Direction", "Channel-HIT-Dialplan", "Application", "DTMF-Digit"),
    *("DTMF-Duration", "DTMF-Source", "Application-Response", "Channel-Read-Codec-Name"),
    *("Channel-Read-Codec-Rate", "Channel-Read-Codec-Bit-Rate", "Channel-Write-Codec-Name"),
    *("Caller-Source", "Caller-Context", "Caller-Dialplan", "Caller-Destination-Number"),
    *("Caller-Direction", "Caller-Profile-Index", "Caller-RDNIS", "Event-Calling-File"),
    *("Event-Calling-Function", "Other-Type", "variable_hangup_cause", "variable_socket_resume"),
    *("variable_domain_uuid", "variable_secretary_uuid", "variable_note", "variable_read_rate"),
    *("variable_originate_disposition", "variable_DIALSTATUS", "variable_endpoint_disposition"),
    *("variable_bridge_hangup_cause", "variable_sip_hangup_disposition", "Socket-Mode", "Control"),
    *("variable_digits_dialed", "variable_hangup_cause_q850", "variable_last_app"),
    *("variable_current_loop", "variable_total_loops", "variable_current_application"),
)
"""Headers whose values must be those of the capture."""

VOLATILE = {
    # mod_sofia rewrites these when the ACK comes, which it does at a time of its own.
    *("variable_sip_to_tag", "variable_sip_cseq"),
    # The captured calls were made with a variable of their own.
    "variable_x",
}


@dataclass
class Replay:
    """One capture against one call."""

    lines: list[dict[str, Any]]
    controller: Controller
    text: Callable[[str], str]
    """What the controller's text becomes in this run (uuids, ports, files)."""
    back: Callable[[str], str]
    """What the stand-in's text would have been in the capture."""
    hooks: dict[str, Callable[[Message], Awaitable[None]]] = field(default_factory=dict)
    """Done before a message of that label is waited for (``label`` or ``label#n``)."""
    seen: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        previous = 0.0
        for index, line in enumerate(self.lines):
            if "text" not in line:
                break
            if line["from"] == "controller":
                await asyncio.sleep(min(PAUSE, (line["t_ms"] - previous) / 1000))
                self.controller.send(self.text(line["text"]))
            else:
                await self._expect(index, parse(line["text"], strict=False))
            previous = line["t_ms"]
        rest = [self.controller.events.get_nowait() for _ in range(self.controller.events.qsize())]
        assert [m.label for m in rest if m.label not in OPTIONAL] == []
        assert self.controller.replies.empty()

    async def _expect(self, index: int, expected: Message) -> None:
        label = expected.label
        self.seen[label] = self.seen.get(label, 0) + 1
        for key in (label, f"{label}#{self.seen[label]}"):
            if key in self.hooks:
                await self.hooks[key](expected)
        where = f"line {index + 1} ({label})"
        if label in OPTIONAL:
            return
        try:
            actual = await self._next(expected.kind)
        except TimeoutError:
            pytest.fail(f"{where}: nothing came")
        compare(where, expected, actual, self.back)

    async def _next(self, kind: str) -> Message:
        if kind == "reply":
            return await self.controller.reply()
        if kind == "notice":
            return await self.controller.notice()
        while (message := await self.controller.event()).label in OPTIONAL:
            pass
        return message


def compare(where: str, expected: Message, actual: Message, back: Callable[[str], str]) -> None:
    assert actual.label == expected.label, where
    assert actual.content_type == expected.content_type, where
    missing = expected.names - actual.names - VOLATILE
    added = actual.names - expected.names - VOLATILE
    if not expected.content_type.startswith("text/event") and not expected.get("Event-Name"):
        assert back(actual.raw) == expected.raw, where
        return
    assert not missing, f"{where}: headers missing: {sorted(missing)}"
    assert not added, f"{where}: headers too many: {sorted(added)}"
    for name in SAME:
        assert back(actual.get(name)) == expected.get(name), f"{where}: {name}"
    assert back(actual.body) == expected.body, where
    for name, value in actual.headers:
        assert re.fullmatch(r"[!-~]+( will linger)?", value), f"{where}: {name} not encoded"
        raw = dict(expected.headers).get(name, "")
        if unquote(value) == unquote(raw):
            assert value == raw, f"{where}: {name} encoded otherwise"


NUMBER = "0000000000"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def call_uuid(lines: list[dict[str, Any]]) -> str:
    return parse(lines[1]["text"]).get("Unique-ID")


async def replay(
    name: str,
    tmp_path: Path,
    *,
    hooks: Callable[[CallStandIn, MediaServer, SwitchStandIn], dict[str, Any]] | None = None,
) -> None:
    lines = capture(name)
    build: Literal["sptmru", "amigniter"] = "amigniter"
    if name.startswith("sptmru"):
        build = "sptmru"
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=2.0)
    async with (
        ControllerServer().run() as server,
        MediaServer().run() as media,
        SwitchStandIn(server.target, build=build, extensions=AGENT) as switch,
    ):
        call = await switch.call(caller=NUMBER)
        controller = await server.next()
        original = call_uuid(lines)
        swaps = [
            (original, call.uuid),
            ("127.0.0.1:8085", f"127.0.0.1:{media.port}"),
            ("/srv/sounds/tone.wav", str(tone)),
            ("/srv/sounds/nofile.wav", str(tmp_path / "nofile.wav")),
            ("/tmp/", f"{tempfile.gettempdir()}/"),
        ]
        await Replay(
            lines,
            controller,
            lambda text: swap(text, swaps),
            lambda text: swap(text, [(b, a) for a, b in swaps]),
            hooks(call, media, switch) if hooks else {},
        ).run()


def swap(text: str, pairs: list[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def write_tone(path: Path, seconds: float) -> None:
    samples = (np.sin(np.arange(int(8000 * seconds)) / 3) * 8000).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


async def test_conversation(tmp_path: Path) -> None:
    def hooks(call: CallStandIn, *_: object) -> dict[str, Any]:
        async def press(_: Message) -> None:
            call.dtmf("5#")

        return {"DTMF#1": press}

    await replay("conversation", tmp_path, hooks=hooks)


async def test_caller_hangup(tmp_path: Path) -> None:
    def hooks(call: CallStandIn, *_: object) -> dict[str, Any]:
        async def leave(_: Message) -> None:
            call.hangup()

        return {"CHANNEL_HANGUP": leave}

    await replay("caller_hangup", tmp_path, hooks=hooks)


@pytest.mark.parametrize("name", ["invalid_application", "stream_bad_arguments", "playback_break"])
async def test_without_help(name: str, tmp_path: Path) -> None:
    await replay(name, tmp_path)


async def test_transfer(tmp_path: Path) -> None:
    await replay("transfer", tmp_path)


async def test_bridge(tmp_path: Path) -> None:
    def hooks(call: CallStandIn, _: MediaServer, switch: SwitchStandIn) -> dict[str, Any]:
        async def far_leg_leaves(_: Message) -> None:
            far = call.variables["signal_bond"]
            assert await switch.api("uuid_kill", far) == "+OK\n"

        return {"CHANNEL_UNBRIDGE": far_leg_leaves}

    await replay("bridge", tmp_path, hooks=hooks)


@pytest.mark.parametrize("build", ["sptmru", "amigniter"])
async def test_stream_refused(build: str, tmp_path: Path) -> None:
    await replay(f"{build}/stream_refused", tmp_path)


@pytest.mark.parametrize("build", ["sptmru", "amigniter"])
async def test_stream_server_close(build: str, tmp_path: Path) -> None:
    def hooks(_: CallStandIn, media: MediaServer, __: SwitchStandIn) -> dict[str, Any]:
        async def close(_: Message) -> None:
            await media.close_last()

        async def cut(_: Message) -> None:
            media.cut_last()

        if build == "sptmru":
            # The second of three is the answer to `stop`.
            names = "mod_audio_stream::disconnect"
            return {f"{names}#1": close, f"{names}#3": cut}
        return {"mod_audio_stream::disconnect": close, "mod_audio_stream::error": cut}

    await replay(f"{build}/stream_server_close", tmp_path, hooks=hooks)


@pytest.mark.parametrize("build", ["sptmru", "amigniter"])
async def test_stream_messages(build: str, tmp_path: Path) -> None:
    def hooks(_: CallStandIn, media: MediaServer, __: SwitchStandIn) -> dict[str, Any]:
        async def hello(_: Message) -> None:
            await media.sockets[-1].send_str('{"type": "hello"}')

        async def play(_: Message) -> None:
            await media.sockets[-1].send_str(
                '{"type":"streamAudio","data":{"audioDataType":"raw","sampleRate":8000,'
                '"audioData":"AAAA"}}'
            )

        return {"mod_audio_stream::json": hello, "mod_audio_stream::play": play}

    await replay(f"{build}/stream_messages", tmp_path, hooks=hooks)


async def test_controller_lost() -> None:
    first, second = capture("controller_lost.1"), capture("controller_lost.2")
    original = call_uuid(first)
    ladder = Ladder(wait=0.02)
    async with (
        ControllerServer().run() as server,
        MediaServer().run() as media,
        SwitchStandIn(server.target, build="amigniter", ladder=ladder) as switch,
    ):
        call = await switch.call(caller=NUMBER)
        pairs = [(original, call.uuid), ("127.0.0.1:8085", f"127.0.0.1:{media.port}")]
        for lines in (first, second):
            controller = await server.next()
            await Replay(
                lines,
                controller,
                lambda text: swap(text, pairs),
                lambda text: swap(text, [(b, a) for a, b in pairs]),
            ).run()
            controller.reset()


async def test_conversation_loopback() -> None:
    lines = capture("conversation_loopback")
    original = call_uuid(lines)
    async with (
        ControllerServer().run() as server,
        MediaServer().run() as media,
        SwitchStandIn(server.target, build="amigniter", event_socket=("127.0.0.1", 0)) as switch,
    ):
        assert switch.event_socket
        inbound = await dial(switch.event_socket)
        await inbound.reply()
        await inbound.ask("auth ClueCon")
        inbound.send("api originate {origination_uuid=cap,x=y}loopback/8000/default &park()")
        controller = await server.next()
        call = next(iter(switch.calls.values()))
        pairs = [
            (original, call.uuid),
            ("127.0.0.1:8085", f"127.0.0.1:{media.port}"),
        ]

        async def press(_: Message) -> None:
            call.dtmf("5#")

        await Replay(
            lines,
            controller,
            lambda text: swap(text, pairs),
            lambda text: swap(text, [(b, a) for a, b in pairs]),
            {"DTMF#1": press},
        ).run()
        assert (await inbound.reply()).body == "+OK cap\n"
        await inbound.close()


SHAPES = {
    "api status": r"UP 0 years, .*FreeSWITCH \(Version .*is ready\n.*session\(s\) max\n.*\n.*\n",
    "api xml_locate": r'<context name="default">.*application="socket".*</context>\s*',
}
"""Answers that differ from switch to switch: what they look like."""


@pytest.mark.parametrize("name", ["inbound", "inbound_bad_password"])
async def test_inbound(name: str) -> None:
    lines = capture(name)
    jobs: list[str] = []
    async with SwitchStandIn(event_socket=("127.0.0.1", 0), extensions=AGENT) as switch:
        assert switch.event_socket
        controller = await dial(switch.event_socket)
        command = ""
        for line in lines:
            if line["from"] == "controller":
                command = line["text"].strip()
                controller.send(line["text"])
                continue
            expected = parse(line["text"], strict=False)
            get = controller.notice if expected.kind == "notice" else controller.reply
            actual = await get()
            shape = next((s for c, s in SHAPES.items() if command.startswith(c)), None)
            if shape:
                assert re.fullmatch(shape, expected.body, re.S), "the capture itself"
                assert re.fullmatch(shape, actual.body, re.S), actual.body
            else:
                jobs += UUID.findall(actual.raw)
                assert UUID.sub("JOB", actual.raw) == UUID.sub("JOB", expected.raw)
        await asyncio.wait_for(controller.ended.wait(), 1.0)
        assert not controller.broken
        await controller.close()


async def test_messages_come_when_freeswitch_sends_them() -> None:
    """Replies at once; an application on the next 20 ms tick."""
    loop = asyncio.get_running_loop()
    async with (
        ControllerServer().run() as server,
        SwitchStandIn(server.target, extensions={"7": (Action("park"),)}) as switch,
    ):
        await switch.call()
        controller = await server.next()
        await controller.open_call()
        for _ in range(5):
            began = loop.time()
            await controller.execute("set", "a=b")
            replied = loop.time() - began
            await controller.event("CHANNEL_EXECUTE_COMPLETE")
            assert replied < 0.015
            assert 0 < loop.time() - began < 0.045
