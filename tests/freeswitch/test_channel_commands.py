"""The commands of one channel, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from esl_controller.freeswitch import channel_commands as module
from esl_controller.freeswitch.wire import (
    NoSuchChannel,
    NoSuchCommand,
    SwitchError,
    SwitchGone,
    UnsafeValue,
)
from tests.freeswitch.peer import OK, UUID, api_reply, commanding


async def test_each_command_as_it_is_sent() -> None:
    async with commanding() as (commands, peer):
        cases: list[tuple[Callable[[], Awaitable[object]], str]] = [
            (lambda: commands.api("module_exists", "mod_lua"), "api module_exists mod_lua"),
            (lambda: commands.uuid_api("uuid_break", "all"), f"api uuid_break {UUID} all"),
            (lambda: commands.set_variable("a", "b c"), f"api uuid_setvar {UUID} a b c"),
            (lambda: commands.unset_variable("a"), f"api uuid_setvar {UUID} a"),
            (lambda: commands.variable("a"), f"api uuid_getvar {UUID} a"),
        ]
        for send, expected in cases:
            task = asyncio.ensure_future(send())
            assert await peer.reply(api_reply("+OK")) == f"{expected}\n\n"
            await task
        task = asyncio.ensure_future(commands.execute("playback", "/a.wav", "id", lock=True))
        assert await peer.reply(OK) == (
            "sendmsg\ncall-command: execute\nexecute-app-name: playback\n"
            "execute-app-arg: /a.wav\nEvent-UUID: id\nevent-lock: true\n\n"
        )
        await task


@pytest.mark.parametrize(("reply", "value"), [("a b\n", "a b"), ("_undef_", ""), ("", "")])
async def test_a_variable_that_is_not_set_is_empty(reply: str, value: str) -> None:
    async with commanding() as (commands, peer):
        reading = asyncio.create_task(commands.variable("a"))
        await peer.reply(api_reply(reply))
        assert await reading == value


async def test_without_a_channel_nothing_is_sent_to_it() -> None:
    async with commanding() as (commands, _):
        commands.uuid = ""
        with pytest.raises(AssertionError, match="connect first"):
            await commands.uuid_api("uuid_break", "all")


@pytest.mark.parametrize("name", ["a b", "", "a\nb"])
async def test_a_variable_has_a_name_of_one_word(name: str) -> None:
    async with commanding() as (commands, _):
        for sending in (
            commands.set_variable(name, "x"),
            commands.unset_variable(name),
            commands.variable(name),
        ):
            with pytest.raises(UnsafeValue):
                await sending


async def test_replies_are_matched_under_concurrency() -> None:
    async with commanding() as (commands, peer):
        tasks = [asyncio.create_task(commands.set_variable(f"v{i}", str(i))) for i in range(50)]
        for i in range(50):
            command = await peer.command()
            assert command.split()[3] == f"v{i}"
            peer.writer.write(api_reply("-ERR no" if i % 7 == 0 else "+OK"))
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(d, SwitchError) for d in done] == [i % 7 == 0 for i in range(50)]


async def test_a_refusal_is_an_error_with_its_text() -> None:
    async with commanding() as (commands, peer):
        for reply, error in (
            ("-ERR Operation Failed\n", SwitchError),
            ("-ERR No such channel!\n", NoSuchChannel),
            ("-ERR uuid_audio_stream Command not found!\n", NoSuchCommand),
        ):
            task = asyncio.create_task(commands.uuid_api("uuid_audio_stream", "stop"))
            await peer.reply(api_reply(reply))
            with pytest.raises(error, match=f"uuid_audio_stream: {reply.strip()}"):
                await task
        sending = asyncio.create_task(commands.execute("answer"))
        await peer.reply(b"Content-Type: command/reply\nReply-Text: -ERR invalid session\n\n")
        with pytest.raises(SwitchError, match="execute: -ERR invalid session"):
            await sending


async def test_a_timed_out_send_does_not_shift_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND_S", 0.05)
    async with commanding() as (commands, peer):
        with pytest.raises(SwitchError, match=r"no reply to api uuid_setvar within 0\.05 s"):
            await commands.set_variable("late", "1")
        await peer.command()
        peer.writer.write(api_reply("-ERR too late"))
        second = asyncio.create_task(commands.set_variable("next", "2"))
        assert "next" in await peer.reply(api_reply("+OK"))
        await second


async def test_a_connection_that_is_gone_is_told_apart() -> None:
    async with commanding() as (commands, peer):
        sending = asyncio.create_task(commands.set_variable("a", "b"))
        await peer.command()
        peer.writer.close()
        async with asyncio.timeout(1):
            with pytest.raises(SwitchGone, match="api uuid_setvar: the connection is gone"):
                await sending
