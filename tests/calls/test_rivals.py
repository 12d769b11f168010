"""Whoever connects and names the UUID of somebody else's call gets nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import re

import pytest
from structlog.testing import capture_logs

from esl_controller.simulator.freeswitch import CallStandIn
from tests.calls.rig import Rig, greeted, rig
from tests.calls.test_talking import say
from tests.freeswitch.peer import OK, UUID, api_reply, messages


def hello(of: Rig, call: CallStandIn, **changes: str) -> bytes:
    """What a switch would say of ``call``, with ``changes`` of headers."""
    first, *_ = messages("conversation")
    profile = of.switch.sessions[call.uuid].channel.profile
    headers = {
        "Caller-Channel-Created-Time": str(profile.created),
        "Answer-State": "answered",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    text = first.decode().replace(UUID, call.uuid)
    domain = headers.pop("domain", of.controller.calls.calls[call.uuid].channel.domain_uuid)
    text = re.sub(r"(?m)^variable_domain_uuid: .*$", f"variable_domain_uuid: {domain}", text)
    for name, value in headers.items():
        text = re.sub(rf"(?m)^{name}: .*$", f"{name}: {value}", text)
    return text.encode()


async def knocks(of: Rig, said: bytes) -> bool:
    """Connect as a switch that says this; whether it is sent away."""
    reader, writer = await asyncio.open_connection("127.0.0.1", of.controller.calls.port)
    for _ in range(4):
        await reader.readuntil(b"\n\n")
    writer.write(said + OK * 3)
    try:
        async with asyncio.timeout(3):
            while command := await reader.readuntil(b"\n\n"):
                if b"controller_again" not in command:
                    return command == b"exit\n\n"
                writer.write(api_reply("+OK\n"))  # the channel exists
    except (asyncio.IncompleteReadError, ConnectionError):
        return True
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return False


RIVALS = {
    "another domain's": {"domain": "11111111-2222-3333-4444-555555555555"},
    "at another time": {"Caller_Channel_Created_Time": "1795392000000000"},
    "answered before": {"Answer_State": "ringing"},
}


@pytest.mark.parametrize(("why", "changes"), RIVALS.items(), ids=[*RIVALS])
async def test_a_live_call_is_undisturbed_by_whoever_names_its_uuid(
    why: str, changes: dict[str, str]
) -> None:
    async with rig() as of:
        call = await of.switch.call()
        await greeted(call)
        session = of.controller.calls.calls[call.uuid]
        with capture_logs() as logs:
            assert await knocks(of, hello(of, call, **changes))
        assert [why in line["reason"] for line in logs if line["log_level"] == "warning"] == [True]
        assert of.controller.calls.calls[call.uuid] is session
        assert (of.controller.calls.taken, of.controller.calls.refused) == (1, 1)
        assert why in of.controller.calls.last_refusal
        heard = len(of.model.sessions)
        await say(call)
        await call.wait_heard()
        assert len(of.model.sessions) == heard, "the conversation goes on with the same model"
        assert session.epoch == 0
        call.hangup()
        await call.ended()


@pytest.mark.parametrize("answered", ["answered", "ringing"])
async def test_a_call_that_has_ended_never_comes_back(answered: str) -> None:
    async with rig() as of:
        call = await of.switch.call()
        await greeted(call)
        said = hello(of, call, Answer_State=answered)
        call.hangup()
        await of.no_calls()
        before = await of.record(call.uuid)
        with capture_logs() as logs:
            assert await knocks(of, said)
        assert [line["reason"] for line in logs if line["log_level"] == "warning"] == [
            "the call has ended"
        ]
        assert of.controller.calls.taken == 1
        assert await of.record(call.uuid) == before
