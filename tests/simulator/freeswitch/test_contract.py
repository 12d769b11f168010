"""Contract: the stand-in says what FreeSWITCH said, capture by capture.

The controller's side of each capture is replayed, and every message that comes back is held
against the captured one: its kind, its place among its kind, reply texts and bodies, the names of
all headers, the values that do not differ from call to call, the encoding and every length.
Replies, events and notices are each in order; between the three there is no order to rely on
(they come from different threads: compare captures/invalid_application.jsonl with
captures/conversation.jsonl).
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace as but
from pathlib import Path
from typing import Any, Literal

import pytest

from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, Ladder, SwitchStandIn
from esl_controller.simulator.freeswitch.dialplan import DOMAIN_UUID, SECRETARY_UUID
from tests.simulator.freeswitch.replay import Replay
from tests.simulator.freeswitch.rig import (
    AGENT,
    Controller,
    ControllerServer,
    MediaServer,
    Message,
    capture,
    dial,
    parse,
    write_tone,
)

NUMBER = "0000000000"
CAPTURED = Ladder(anew=False, folded=False)
"""The dialplan of the captures: its tries never start again."""
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
        SwitchStandIn(server.target, build=build, ladder=CAPTURED, extensions=AGENT) as switch,
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
    """``text`` with each first one replaced by its second one, the longest first, and nothing
    replaced twice: the folder for temporary files may be in its own name, and in that of others."""
    new = dict(pairs)
    olds = sorted(new, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, olds)), lambda found: new[found[0]], text)


def test_a_folder_that_is_in_its_own_name_is_swapped_once() -> None:
    pairs = [("/srv/tone.wav", "/tmp/a/tmp/tone.wav"), ("/tmp/", "/tmp/a/tmp/")]
    here = "/tmp/a/tmp/tone.wav /tmp/a/tmp/x.r8"
    assert swap("/srv/tone.wav /tmp/x.r8", pairs) == here
    assert swap(here, [(new, old) for old, new in pairs]) == "/srv/tone.wav /tmp/x.r8"


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
    ladder = but(CAPTURED, wait=0.02)
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


@asynccontextmanager
async def captured_switch(
    *, resume: bool
) -> AsyncIterator[tuple[SwitchStandIn, ControllerServer, CallStandIn]]:
    """A call through the dialplan of captures/controller_lost_no_resume.*.jsonl and later ones."""
    async with ControllerServer().run() as server:
        dial_us, wait = (
            DialplanAction("socket", f"{server.target} async full"),
            DialplanAction("sleep", "300"),
        )
        variables = {"domain_uuid": DOMAIN_UUID, "secretary_uuid": SECRETARY_UUID}
        variables |= {"socket_resume": "true"} if resume else {}
        actions = [DialplanAction("set", f"{name}={value}") for name, value in variables.items()]
        actions += [dial_us, wait, dial_us, wait, dial_us, DialplanAction("hangup")]
        number = "8000" if resume else "8001"
        async with SwitchStandIn(
            build=None, event_socket=("127.0.0.1", 0), extensions={number: actions, **AGENT}
        ) as switch:
            yield switch, server, await switch.call(number, caller=NUMBER)


def replay_of(name: str, controller: Controller, call: CallStandIn, **hooks: Any) -> Replay:
    """A capture of several connections of one call, ``<name>.1`` being the first."""
    original = call_uuid(capture(name[:-1] + "1"))
    return Replay(
        capture(name),
        controller,
        lambda text: text.replace(original, call.uuid),
        lambda text: text.replace(call.uuid, original),
        hooks,
    )


async def test_controller_lost_without_resume() -> None:
    async with captured_switch(resume=False) as (_, server, call):
        first = await server.next()
        await replay_of("controller_lost_no_resume.1", first, call).run()
        first.reset()
        await replay_of("controller_lost_no_resume.2", await server.next(), call).run()


async def test_transfer_back_and_the_old_connection_closed() -> None:
    async with captured_switch(resume=True) as (_, server, call):
        old = await server.next()
        await replay_of("transfer_back.1", old, call).run()

        async def close_old(_: Message) -> None:
            if not old.writer.is_closing():
                await old.close()

        async def hang_up(_: Message) -> None:
            await replay_of("transfer_back.3", await server.next(), call).run()

        hooks = {"CHANNEL_UNPARK": close_old, "CHANNEL_HANGUP": hang_up}
        await replay_of("transfer_back.2", await server.next(), call, **hooks).run()


async def test_transfer_away_and_the_old_connection_closed() -> None:
    async with captured_switch(resume=True) as (switch, server, call), asyncio.TaskGroup() as tasks:
        assert switch.event_socket
        old, watcher = await server.next(), await dial(switch.event_socket)
        replayed = asyncio.Event()

        async def close_old(_: Message) -> None:
            await replayed.wait()
            await old.close()

        async def start_to_watch(_: Message) -> None:
            await call.answered()
            # The third to be complete, after `socket` and `answer`, is `playback`.
            hooks = {"CHANNEL_EXECUTE_COMPLETE#3": close_old}
            tasks.create_task(replay_of("transfer_reset.2", watcher, call, **hooks).run())

        hooks = {"CHANNEL_EXECUTE_COMPLETE#1": start_to_watch}
        await replay_of("transfer_reset.1", old, call, **hooks).run()
        replayed.set()
    await watcher.close()


async def test_conversation_loopback() -> None:
    lines = capture("conversation_loopback")
    original = call_uuid(lines)
    async with (
        ControllerServer().run() as server,
        MediaServer().run() as media,
        SwitchStandIn(
            server.target, build="amigniter", ladder=CAPTURED, event_socket=("127.0.0.1", 0)
        ) as switch,
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
    async with SwitchStandIn(
        ladder=CAPTURED, event_socket=("127.0.0.1", 0), extensions=AGENT
    ) as switch:
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
        SwitchStandIn(server.target, extensions={"7": (DialplanAction("park"),)}) as switch,
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
