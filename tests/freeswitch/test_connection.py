"""What we put on the Event Socket and what we make of what comes, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.call.events import Answered, Dtmf, HungUp, StreamFailed
from esl_controller.freeswitch import connection as module
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import (
    FileWritten,
    NoSuchCommand,
    SwitchConnection,
    SwitchError,
    SwitchEvent,
    UnsafeValue,
)
from esl_controller.freeswitch.dialplan import there_and_back
from tests.paths import CAPTURES
from tests.waiting import until

UUID = "8f045ec3-c1d9-47ba-8369-9955c1dfc4f2"
OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"


def messages(name: str, sender: str = "freeswitch") -> list[bytes]:
    """What one side said in a capture."""
    lines = (CAPTURES / f"{name}.jsonl").read_text().splitlines()
    said = [json.loads(line) for line in lines]
    return [m["text"].encode() for m in said if m["from"] == sender and "text" in m]


def api_reply(text: str) -> bytes:
    return f"Content-Type: api/response\nContent-Length: {len(text)}\n\n{text}".encode()


class Peer:
    """FreeSWITCH's end of the connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def command(self) -> str:
        """The next command that the controller sent."""
        return (await self._reader.readuntil(b"\n\n")).decode()

    async def connect(self) -> None:
        """Answer the four commands of ``Switch.connect``."""
        first, *_ = messages("conversation")
        commands = [await self.command() for _ in range(4)]
        assert commands[0] == "connect\n\n"
        self.writer.write(first + OK * 3)

    async def reply(self, message: bytes = OK) -> str:
        """Take a command and reply to it."""
        command = await self.command()
        self.writer.write(message)
        return command


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[SwitchConnection, Peer]]:
    """A Switch and the peer it talks to."""
    accepted: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(Peer(reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        peer = await accepted
        try:
            async with SwitchConnection.over(reader, writer) as switch:
                yield switch, peer
        finally:
            for end in (peer.writer, writer):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[SwitchConnection, Peer]]:
    """A pair that has exchanged ``connect``."""
    async with pair() as (switch, peer):
        await asyncio.gather(switch.connect(), peer.connect())
        yield switch, peer


async def test_connect_reads_the_channel() -> None:
    async with connected() as (switch, _):
        channel = switch.channel
        assert channel is not None
        assert channel.uuid == UUID
        assert channel.codec == "PCMU"
        assert channel.is_g711
        assert channel.rate == 8000
        assert channel.number == "8000"
        assert not channel.answered
        assert channel.variables["sip_to_user"] == "8000"
        assert channel.media_path == f"/stream/96f6142d-02b1-49fa-8bcb-f98658bb831f/{UUID}"


def test_a_domain_that_is_no_uuid_does_not_get_into_the_url() -> None:
    headers = {"Unique-ID": UUID, "variable_domain_uuid": "../../etc x\n"}
    assert Channel.parse(headers).media_path.split("/")[2] == "0" * 8 + "-0000" * 3 + "-" + "0" * 12
    with pytest.raises(ValueError, match="not an outbound"):
        Channel.parse({"Unique-ID": "x"})


async def test_commands_are_those_of_the_captures() -> None:
    async with connected() as (switch, peer):
        cases: list[tuple[Callable[[], Awaitable[object]], str]] = [
            (switch.answer, "sendmsg\ncall-command: execute\nexecute-app-name: answer\n\n"),
            (
                lambda: switch.hang_up("NORMAL_CLEARING"),
                "sendmsg\ncall-command: hangup\nhangup-cause: NORMAL_CLEARING\n\n",
            ),
            (
                lambda: switch.open_lane(("127.0.0.1", 46155), ("127.0.0.1", 32909)),
                "sendmsg\ncall-command: unicast\nlocal-ip: 127.0.0.1\nlocal-port: 46155\n"
                "remote-ip: 127.0.0.1\nremote-port: 32909\ntransport: udp\n\n",
            ),
        ]
        captured = messages("conversation", "controller")
        for send, expected in cases:
            task = asyncio.ensure_future(send())
            assert await peer.reply() == expected
            assert expected.encode() in captured
            await task
        task = asyncio.ensure_future(
            switch.start_stream("ws://127.0.0.1:8085/stream/d/u", "mono", "16k", "tok")
        )
        assert await peer.reply(api_reply("+OK\n")) == (
            f'api uuid_setvar {UUID} STREAM_EXTRA_HEADERS {{"Authorization": "Bearer tok"}}\n\n'
        )
        assert await peer.reply(api_reply("+OK Success\n")) == (
            f"api uuid_audio_stream {UUID} start ws://127.0.0.1:8085/stream/d/u mono 16k\n\n"
        )
        await task


async def test_took_tells_the_dialplan_where_to_begin_anew() -> None:
    headers = {"Unique-ID": UUID, "variable_controller_home": "8000 XML default"}
    async with connected() as (switch, peer):
        await switch.took()  # a dialplan without the ladder: no command
        switch.channel = Channel.parse(headers)
        taking = asyncio.create_task(switch.took())
        command = await peer.reply(api_reply("+OK"))
        await taking
        assert command == f"api uuid_setvar {UUID} controller_again 8000 XML default\n\n"


@pytest.mark.parametrize("home", ["", "8000 XML default", "8000 XML a'b"])
async def test_a_transfer_with_a_way_back_where_there_is_one(home: str) -> None:
    headers = {"Unique-ID": UUID, "variable_controller_home": home}
    async with connected() as (switch, peer):
        switch.channel = Channel.parse(headers)
        task = asyncio.create_task(switch.transfer("1001", "internal", 12, returns=2))
        commands: list[str] = []
        while "uuid_transfer" not in "".join(commands):
            answer = "_undef_" if len(commands) == 2 and home == "8000 XML default" else "+OK"
            commands.append((await peer.reply(api_reply(answer))).strip())
            if "playback" in commands[-1]:
                (play_id,) = switch._plays
                lines = "Event-Name: CHANNEL_EXECUTE_COMPLETE", f"Unique-ID: {UUID}"
                body = "\n".join((*lines, f"Application-UUID: {play_id}", "", "")).encode()
                head = f"Content-Length: {len(body)}\nContent-Type: text/event-plain\n\n".encode()
                peer.writer.write(head + body)
        await task
    rings = [command for command in commands if "transfer_ringback" in command]
    *_, stop, lift, close, transfer = commands
    assert stop == f"api uuid_audio_stream {UUID} stop"
    assert lift == f"api sched_del {UUID}"
    assert "silence_stream" in close
    if home == "8000 XML default":
        assert rings == [
            f"api uuid_getvar {UUID} transfer_ringback",
            f"api uuid_setvar {UUID} transfer_ringback %(1000,4000,425)",
        ]
        way = there_and_back("1001", "internal", 12, 2, home)
        assert transfer == f"api uuid_transfer {UUID} '{way}' inline"
    else:
        assert rings == []
        assert transfer == f"api uuid_transfer {UUID} 1001 XML internal"


def test_the_channel_tells_of_the_last_bridge() -> None:
    told = {
        "controller_returns": "2",
        "controller_left_at": "1000000",
        "originate_disposition": "NO_ANSWER",
    }
    headers = {"Unique-ID": UUID, "Event-Date-Timestamp": "3500000"}
    channel = Channel.parse({**headers, **{f"variable_{k}": v for k, v in told.items()}})
    assert (channel.returns, channel.elsewhere_s, channel.unreached) == (2, 2.5, "NO_ANSWER")
    talked = Channel.parse({**headers, "variable_originate_disposition": "SUCCESS"})
    assert (talked.returns, talked.elsewhere_s, talked.unreached) == (0, 0.0, "")
    assert Channel.parse(headers).unreached == ""


async def test_replies_are_matched_under_concurrency() -> None:
    async with connected() as (switch, peer):
        tasks = [asyncio.create_task(switch.set_variable(f"v{i}", str(i))) for i in range(50)]
        for i in range(50):
            command = await peer.command()
            assert command.split()[3] == f"v{i}"
            peer.writer.write(api_reply("-ERR no" if i % 7 == 0 else "+OK"))
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(d, SwitchError) for d in done] == [i % 7 == 0 for i in range(50)]


@pytest.mark.parametrize("char", ["\n", "\r", "\0", "\x1b", "\x7f"])
async def test_control_characters_never_reach_the_wire(char: str) -> None:
    bad = f"a{char}b"
    async with connected() as (switch, peer):
        calls: list[Awaitable[object]] = [
            switch.hang_up(bad),
            switch.set_variable(bad, "x"),
            switch.set_variable("x", bad),
            switch.start_stream(bad, "mono", "16k", "t"),
            switch.start_stream("ws://x", bad, "16k", "t"),
            switch.start_stream("ws://x", "mono", bad, "t"),
            switch.open_lane((bad, 1), ("127.0.0.1", 1)),
            switch.open_lane(("127.0.0.1", 1), (bad, 1)),
            switch.play(bad, switch.new_play()),
        ]
        seen: list[str] = []

        async def answer() -> None:
            while True:
                seen.append(await peer.reply(api_reply("+OK")))

        answering = asyncio.create_task(answer())
        for call in calls:
            with pytest.raises(UnsafeValue):
                await call
        answering.cancel()
        # What went out before the bad value was reached is whole and our own.
        for command in seen:
            assert command.startswith(f"api uuid_setvar {UUID} STREAM_EXTRA_HEADERS")


@given(st.text())
def test_whatever_passes_the_check_is_one_line(value: str) -> None:
    try:
        checked = module._text("x", value)
    except UnsafeValue:
        return
    assert len(f"name: {checked}\n".encode().split(b"\n")) == 2
    assert "\r" not in checked


async def test_a_refusal_is_an_error_with_its_text() -> None:
    async with connected() as (switch, peer):
        task = asyncio.create_task(switch.stop_stream())
        await peer.reply(api_reply("-ERR Operation Failed\n"))
        with pytest.raises(SwitchError, match="uuid_audio_stream: -ERR Operation Failed"):
            await task
        task = asyncio.create_task(switch.stop_stream())
        await peer.reply(api_reply("-ERR uuid_audio_stream Command not found!\n"))
        with pytest.raises(NoSuchCommand):
            await task


# --- the three faults of older Genesis versions ---------------------------------------------------


async def test_a_send_pending_at_eof_fails_at_once() -> None:
    async with connected() as (switch, peer):
        tasks = [asyncio.create_task(switch.set_variable("a", "b")) for _ in range(5)]
        await peer.command()
        peer.writer.close()
        async with asyncio.timeout(1):
            done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(d, SwitchError) for d in done)
        async with asyncio.timeout(1):
            await switch.wait_lost()
            with pytest.raises(SwitchError):
                await switch.answer()


async def test_a_timed_out_send_does_not_shift_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND_S", 0.05)
    async with connected() as (switch, peer):
        with pytest.raises(SwitchError, match=r"no reply to api uuid_setvar within 0\.05 s"):
            await switch.set_variable("late", "1")
        await peer.command()
        peer.writer.write(api_reply("-ERR too late"))
        second = asyncio.create_task(switch.set_variable("next", "2"))
        assert "next" in await peer.reply(api_reply("+OK"))
        await second


async def test_a_failed_write_is_not_sent_twice() -> None:
    async with connected() as (switch, peer):
        peer.writer.transport.abort()
        await asyncio.sleep(0)
        done = await asyncio.gather(
            switch.answer(), switch.hang_up("NORMAL_CLEARING"), return_exceptions=True
        )
        assert all(isinstance(d, SwitchError) for d in done)
        async with asyncio.timeout(1):
            await switch.wait_lost()


async def test_a_switch_that_answers_no_more_counts_as_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PING_S", 0.05)
    monkeypatch.setattr(module, "COMMAND_S", 0.5)
    async with connected() as (switch, peer):
        lost = asyncio.create_task(switch.wait_lost())
        for _ in range(3):
            assert await peer.reply(api_reply("true")) == f"api uuid_exists {UUID}\n\n"
        assert not lost.done()
        async with asyncio.timeout(2):
            assert "answers no more: no reply to api uuid_exists" in await lost


# --- events ---------------------------------------------------------------------------------------


async def replay(name: str) -> tuple[list[SwitchEvent], int]:
    """The events of a capture, as a session sees them."""
    got: list[SwitchEvent] = []
    async with pair() as (switch, peer):
        switch.listen(got.append)
        said = messages(name)
        commands = len(messages(name, "controller"))
        connecting = asyncio.create_task(switch.connect())
        for _ in range(4):
            await peer.command()
        peer.writer.write(b"".join(said))
        await connecting
        assert commands
        peer.writer.close()
        await switch.wait_lost()
        return got, switch.dropped


async def test_events_of_a_conversation() -> None:
    got, dropped = await replay("conversation")
    hung_up = HungUp("NORMAL_CLEARING")
    keys = [event for event in got if isinstance(event, Dtmf)]
    assert got == [Answered("PCMU", 8000), *keys, hung_up, hung_up]
    assert [key.digit for key in keys] == ["5", "#"]
    assert dropped == 0


async def test_events_of_refused_streams_in_both_builds() -> None:
    for build in ("amigniter", "sptmru"):
        got, _ = await replay(f"{build}/stream_refused")
        refused, not_found = (e for e in got if isinstance(e, StreamFailed))
        assert "refused" in refused.reason
        assert "404" in not_found.reason or "upgrade failed" in not_found.reason


async def test_events_of_written_files() -> None:
    for build in ("amigniter", "sptmru"):
        got, _ = await replay(f"{build}/stream_messages")
        (written,) = (e for e in got if isinstance(e, FileWritten))
        assert written.path.endswith("_0.tmp.r8")


async def test_an_application_that_does_not_exist_is_a_hangup() -> None:
    got, _ = await replay("invalid_application")
    assert HungUp("DESTINATION_OUT_OF_ORDER") in got


async def test_events_of_another_call_are_dropped() -> None:
    got: list[SwitchEvent] = []
    async with connected() as (switch, peer):
        switch.listen(got.append)
        (answer,) = (m for m in messages("conversation") if b"CHANNEL_ANSWER" in m)
        peer.writer.write(answer.replace(UUID.encode(), b"0" * 8 + UUID.encode()[8:]))
        peer.writer.write(answer)
        await until(lambda: bool(got))
        assert got == [Answered("PCMU", 8000)]
        assert switch.dropped == 1


async def test_a_thousand_fuzzed_messages_raise_nothing() -> None:
    random.seed(7)
    said = [m for m in messages("conversation") + messages("playback_break") if len(m) < 20000]
    for attempt in range(40):
        async with pair() as (switch, peer):
            connecting = asyncio.create_task(switch.connect())
            if attempt % 2:
                await peer.connect()
            for _ in range(25):
                peer.writer.write(fuzzed(random.choice(said)))
            peer.writer.close()
            async with asyncio.timeout(2):
                with contextlib.suppress(SwitchError):
                    await connecting
                await switch.wait_lost()


def fuzzed(message: bytes) -> bytes:
    """A message with something wrong in it."""
    data = bytearray(message)
    kind = random.randrange(6)
    if kind == 0:
        for _ in range(random.randrange(1, 20)):
            data[random.randrange(len(data))] = random.randrange(256)
    elif kind == 1:
        del data[random.randrange(len(data)) :]
    elif kind == 2:
        at = random.randrange(len(data))
        data[at:at] = random.randbytes(random.randrange(1, 200))
    elif kind == 3:
        return message.replace(b"Content-Length: ", b"Content-Length: x")
    elif kind == 4:
        return message.replace(b"\nContent-Length: ", b"\nContent-Length: -9\nContent-Length: ")
    else:
        data[:0] = b"\n\n"
    return bytes(data)
