"""Commands and events of one call, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import pytest

from esl_controller.call.events import Answered, HungUp
from esl_controller.freeswitch import channel_commands
from esl_controller.freeswitch import connection as module
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.events import FileWritten, SwitchEvent
from esl_controller.freeswitch.wire import SwitchError, UnsafeValue
from tests.freeswitch.peer import OK, UUID, api_reply, connected, messages, pair
from tests.waiting import until


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


async def test_the_linger_has_an_end() -> None:
    """A frozen controller keeps the channel of a caller who hung up for as long as we asked for."""
    async with pair() as (switch, peer):
        connecting = asyncio.create_task(switch.connect())
        commands = [await peer.command() for _ in range(4)]
        first, *_ = messages("conversation")
        peer.writer.write(first + OK * 3)
        await connecting
        assert commands[1] == f"linger {module.LINGER_S}\n\n"


async def test_a_limit_takes_the_place_of_an_earlier_one() -> None:
    async with connected() as (switch, peer):
        limiting = asyncio.create_task(switch.schedule_hangup(3660.0))
        commands = [await peer.reply(api_reply("+OK")) for _ in range(2)]
        await limiting
        assert commands == [f"api sched_del {UUID}\n\n", f"api sched_hangup +3660 {UUID}\n\n"]


async def test_commands_are_those_of_the_captures() -> None:
    async with connected() as (switch, peer):
        cases: list[tuple[Callable[[], Awaitable[object]], str]] = [
            (switch.answer, "sendmsg\ncall-command: execute\nexecute-app-name: answer\n\n"),
            (
                lambda: switch.hang_up("NORMAL_CLEARING"),
                "sendmsg\ncall-command: hangup\nhangup-cause: NORMAL_CLEARING\n\n",
            ),
            (
                lambda: switch.unicast(("127.0.0.1", 46155), ("127.0.0.1", 32909)),
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


async def test_confirm_taken_tells_the_dialplan_where_to_begin_anew() -> None:
    headers = {"Unique-ID": UUID, "variable_controller_home": "8000 XML default"}
    async with connected() as (switch, peer):
        await switch.confirm_taken()  # a dialplan without the ladder: no command
        switch.channel = Channel.parse(headers)
        taking = asyncio.create_task(switch.confirm_taken())
        command = await peer.reply(api_reply("+OK"))
        await taking
        assert command == f"api uuid_setvar {UUID} controller_again 8000 XML default\n\n"


@pytest.mark.parametrize("home", ["8000", "8000 XML ${system(x)}", "8000 LUA default", "1 XML a b"])
async def test_a_way_back_that_is_no_place_is_not_sent(home: str) -> None:
    async with connected() as (switch, peer):
        switch.channel = Channel.parse({"Unique-ID": UUID, "variable_controller_home": home})
        with pytest.raises(UnsafeValue):
            await switch.confirm_taken()
        answering = asyncio.create_task(switch.answer())
        assert "answer" in await peer.reply(), "nothing was sent before"
        await answering


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
            switch.unicast((bad, 1), ("127.0.0.1", 1)),
            switch.unicast(("127.0.0.1", 1), (bad, 1)),
            switch.play(bad, switch.new_play_id()),
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
        # Commands that were sent before the bad value was met are whole.
        for command in seen:
            assert command.startswith(f"api uuid_setvar {UUID} STREAM_EXTRA_HEADERS")


# --- faults of older Genesis versions -------------------------------------------------------------


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
    monkeypatch.setattr(channel_commands, "COMMAND_S", 0.5)
    async with connected() as (switch, peer):
        lost = asyncio.create_task(switch.wait_lost())
        for _ in range(3):
            assert await peer.reply(api_reply("true")) == f"api uuid_exists {UUID}\n\n"
        assert not lost.done()
        async with asyncio.timeout(2):
            assert "no longer answers: no reply to api uuid_exists" in await lost


async def test_a_call_exists_unless_it_is_known_to_be_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_commands, "COMMAND_S", 0.5)
    async with connected() as (switch, peer):
        for answer, exists in ((api_reply("true"), True), (api_reply("false"), False), (b"", True)):
            asked = asyncio.create_task(switch.exists())
            assert await peer.reply(answer) == f"api uuid_exists {UUID}\n\n"
            assert await asked is exists
        peer.writer.close()
        await switch.wait_lost()
        assert not await switch.exists()


# --- events ---------------------------------------------------------------------------------------


async def test_events_of_another_call_are_dropped() -> None:
    got: list[SwitchEvent] = []
    async with connected() as (switch, peer):
        switch.handle_events(got.append)
        (answer,) = (m for m in messages("conversation") if b"CHANNEL_ANSWER" in m)
        peer.writer.write(answer.replace(UUID.encode(), b"0" * 8 + UUID.encode()[8:]))
        peer.writer.write(answer)
        await until(lambda: bool(got))
        assert got == [Answered("PCMU", 8000)]
        assert switch.dropped == 1


async def test_an_event_that_cannot_be_read_is_counted_and_ends_nothing() -> None:
    got: list[SwitchEvent] = []
    async with connected() as (switch, peer):
        switch.handle_events(got.append)
        for body in ("no JSON", '{"file": "/tmp/a"}'):
            head = f"Event-Name: CUSTOM\nEvent-Subclass: mod_audio_stream::play\nUnique-ID: {UUID}"
            inner = f"{head}\nContent-Length: {len(body)}\n\n{body}"
            outer = f"Content-Length: {len(inner)}\nContent-Type: text/event-plain\n\n{inner}"
            peer.writer.write(outer.encode())
        await until(lambda: bool(got))
        assert got == [FileWritten("/tmp/a")]
        assert switch.dropped == 1


async def test_events_wait_for_a_handler_and_come_in_order() -> None:
    got: list[SwitchEvent] = []
    (answer,) = (m for m in messages("conversation") if b"CHANNEL_ANSWER" in m)
    hangup = answer.replace(b"CHANNEL_ANSWER", b"CHANNEL_HANGUP")
    async with connected() as (switch, peer):
        peer.writer.write(answer)
        await until(lambda: len(switch._events._buffered) == 1)
        switch.handle_events(got.append)
        assert got == [Answered("PCMU", 8000)], "at once"
        switch.buffer_events()
        peer.writer.write(hangup)
        await until(lambda: len(switch._events._buffered) == 1)
        assert len(got) == 1
        switch.handle_events(got.append)
        assert [type(event) for event in got] == [Answered, HungUp]


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
