"""A call leaves its park: what is undone, left on the channel, and sent."""

from __future__ import annotations

import asyncio

import pytest

from esl_controller.call.hops import Hops
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.dialplan import Way, bridge_and_return, park_again, until_taken
from esl_controller.freeswitch.wire import Place, SwitchError
from tests.freeswitch.peer import UUID, api_reply, connected


@pytest.mark.parametrize("home", ["", "8000 XML default", "8000 XML a'b"])
@pytest.mark.parametrize("loopback", ["true", "false"])
async def test_a_transfer_with_a_way_back_where_there_is_one(home: str, loopback: str) -> None:
    headers = {"Unique-ID": UUID, "variable_controller_home": home}
    to, hops = Place("1001", "internal"), Hops(3, 1, 1)
    async with connected() as (switch, peer):
        switch.channel = Channel.parse(headers)
        task = asyncio.create_task(switch.transfers.transfer(to, 12, hops, returns=2))
        commands: list[str] = []
        while "uuid_transfer" not in "".join(commands):
            command = (await peer.command()).strip()
            answer = "_undef_" if "getvar" in command else "+OK"
            peer.writer.write(api_reply(loopback if "module_exists" in command else answer))
            commands.append(command)
            if "playback" in commands[-1]:
                (play_id,) = switch._events._plays
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
    assert f"api uuid_setvar {UUID} controller_hops 3.1.1" in commands
    assert f"api uuid_setvar {UUID} originate_disposition" in commands
    if home == "8000 XML default" and loopback == "true":
        assert rings == [
            f"api uuid_getvar {UUID} transfer_ringback",
            f"api uuid_setvar {UUID} transfer_ringback %(1000,4000,425)",
        ]
        way = bridge_and_return(Way(to, Place.parse(home), 12, 2, hops))
        assert transfer == f"api uuid_transfer {UUID} '{way}' inline"
    else:
        assert rings == []
        assert f"api uuid_setvar {UUID} export_vars controller_hops" in commands
        assert transfer == f"api uuid_transfer {UUID} 1001 XML internal"


@pytest.mark.parametrize("home", ["8000 XML default", "8000 XML a^b"])
async def test_a_new_park_is_asked_for_where_the_call_came_from(home: str) -> None:
    headers = {
        "Unique-ID": UUID,
        "Caller-Destination-Number": "9000",
        "Caller-Context": "public",
        "variable_controller_home": home,
        "variable_current_application_data": "127.0.0.1:8022 async full",
        "variable_socket_resume": "true",
    }
    async with connected() as (switch, peer):
        switch.channel = Channel.parse(headers)
        task = asyncio.create_task(switch.transfers.new_park(2))
        # Both are there before the first is answered.
        unset, command = [(await peer.command()).strip() for _ in range(2)]
        peer.writer.write(2 * api_reply("+OK"))
        await task
        then = home if "^" not in home else "9000 XML public"
        line = park_again("127.0.0.1:8022 async full", then, 2, resumes=True)
        assert unset == f"api uuid_setvar {UUID} socket_resume"
        assert command == f"api uuid_transfer {UUID} '{line}' inline"


async def test_a_new_park_that_is_refused_leaves_the_call_as_it_was() -> None:
    headers = {
        "Unique-ID": UUID,
        "variable_current_application_data": "127.0.0.1:8022 async full",
        "variable_socket_resume": "true",
    }
    async with connected() as (switch, peer):
        switch.channel = Channel.parse(headers)
        task = asyncio.create_task(switch.transfers.new_park(1))
        for reply in ("+OK", "-ERR no reply"):
            await peer.reply(api_reply(reply))
        restored = await peer.reply(api_reply("+OK"))
        assert restored.strip() == f"api uuid_setvar {UUID} socket_resume true"
        with pytest.raises(SwitchError):
            await task


async def test_no_new_park_where_the_address_is_not_known() -> None:
    headers = {"Unique-ID": UUID, "variable_current_application_data": "x:1 async full^hangup:"}
    async with connected() as (switch, _):
        switch.channel = Channel.parse(headers)
        with pytest.raises(SwitchError):
            await switch.transfers.new_park(1)


async def test_a_call_that_is_taken_is_not_sent_home_any_more() -> None:
    async with connected() as (switch, peer):
        switch.channel = Channel.parse({"Unique-ID": UUID})
        task = asyncio.create_task(switch.transfers.taken())
        command = await peer.reply(api_reply("+OK Deleted: 1"))
        assert command.strip() == f"api sched_del {UUID}.until_taken"
        await task
    assert f" {until_taken('${uuid}')} " in park_again("a:1 async full", "1 XML x", 1, resumes=True)


@pytest.mark.parametrize(
    ("far", "disposition", "cause"),
    [
        ("far-end", "USER_BUSY", "USER_BUSY"),
        ("far-end", "SUCCESS", ""),
        ("far-end", "no cause", ""),
        ("_undef_", "USER_BUSY", ""),
    ],
)
async def test_the_far_end_of_the_bridge_knows_who_answered_instead(
    far: str, disposition: str, cause: str
) -> None:
    answers = {"other_loopback_leg_uuid": far, "originate_disposition": disposition}
    asked = []
    async with connected() as (switch, peer):

        async def answer() -> None:
            while True:
                command = (await peer.command()).split()
                asked.append(command[1:])
                peer.writer.write(api_reply(answers.get(command[-1], "+OK")))

        answering = asyncio.create_task(answer())
        assert await switch.transfers.answered_instead("leg") == cause
        answering.cancel()
    assert asked[0] == ["uuid_getvar", "leg", "other_loopback_leg_uuid"]
    kept = ["uuid_setvar", UUID, "controller_instead", cause]
    assert (kept in asked) is bool(cause)
