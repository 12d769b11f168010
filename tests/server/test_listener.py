"""Who may bring a call, and who owns it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from esl_controller.call.records import Claimed
from esl_controller.config.loading import load
from esl_controller.server.web.client import drain, list_calls
from esl_controller.simulator.freeswitch import DialplanAction, Ladder, SwitchStandIn
from esl_controller.store import Store
from esl_controller.store.identity import Identity
from esl_controller.store.records import CallStarted
from tests.calls.rig import greeted, rig
from tests.freeswitch.peer import OK, api_reply, messages
from tests.waiting import until


async def closed_at_once(port: int) -> bool:
    """Whether the controller closes a connection without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(1):
            return await reader.read() == b""
    except ConnectionResetError:
        return True
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_who_is_not_allowed_is_closed_at_once() -> None:
    async with rig(settings={"ESL_ALLOW": "10.0.0.0/8"}) as of:
        with capture_logs() as logs:
            assert await closed_at_once(of.controller.calls.port)
        assert of.controller.calls.refused == 1
        assert logs[0]["reason"] == "its address is not within [esl] allow"
        call = await of.switch.call()
        await call.ended()
        assert not call.is_answered


async def refuses(port: int) -> bool:
    """Whether nobody listens."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_no_more_calls_than_allowed() -> None:
    async with rig(settings={"ESL_MAX_CALLS": "1"}) as of:
        first = await of.switch.call()
        await first.answered()
        assert await refuses(of.controller.calls.port)
        ready = f"{of.controller.web_url}/readyz"
        assert await asyncio.to_thread(get, ready) == (503, {"ready": False, "calls": 1})
        first.hangup()
        await of.no_calls()
        await until(lambda: of.controller.calls.ready)
        assert await asyncio.to_thread(get, ready) == (200, {"ready": True, "calls": 0})
        second = await of.switch.call()
        await second.answered()


async def test_while_one_controller_is_full_the_dialplan_tries_the_next() -> None:
    async with rig(settings={"ESL_MAX_CALLS": "1"}) as one, rig() as other:
        hosts = [f"127.0.0.1:{of.controller.calls.port}" for of in (one, other)]
        async with SwitchStandIn(hosts, ladder=Ladder(tries=1, anew=False)) as switch:
            for taken in (0, 1):
                await greeted(await switch.call())
                assert other.controller.calls.taken == taken
            assert one.controller.calls.taken == 1
            assert one.controller.calls.refused == 0, "nobody had to be sent away"


async def test_no_more_calls_than_allowed_even_at_once() -> None:
    async with rig(settings={"ESL_MAX_CALLS": "1"}) as of:
        calls = [await of.switch.call() for _ in range(3)]
        await until(lambda: of.controller.calls.refused >= 2)
        assert len(of.controller.calls.calls) == 1
        assert sum(call.is_answered for call in calls) <= 1


async def test_no_more_calls_than_allowed_even_of_those_that_come_back_at_once() -> None:
    async with rig(settings={"ESL_MAX_CALLS": "1"}) as of:
        socket = f"127.0.0.1:{of.controller.calls.port} async full"
        answered = [
            DialplanAction("answer"),
            DialplanAction("socket", socket),
            DialplanAction("hangup"),
        ]
        async with SwitchStandIn(socket, extensions={"8003": answered}) as switch:
            for _ in range(3):
                await switch.call("8003")
            await until(lambda: of.controller.calls.refused >= 2)
            assert (of.controller.calls.taken, len(of.controller.calls.calls)) == (1, 1)


async def test_there_is_room_for_a_call_that_comes_back(tmp_path: Path) -> None:
    record = f"sqlite:///{tmp_path}/calls.db"
    async with Store.open(record) as store:  # of a controller that was killed
        store.put(CallStarted(str(uuid4()), "tenant", "clinic", "+5511", "8000", 50.0, owner="a"))
    async with rig(settings={"ESL_MAX_CALLS": "1", "STORE_URL": record}) as of:
        calls = of.controller.calls
        socket = f"127.0.0.1:{calls.port} async full"
        lost = [
            DialplanAction("answer"),
            DialplanAction("set", "controller_lost_at=1"),
            DialplanAction("socket", socket),
            DialplanAction("hangup"),
        ]
        async with SwitchStandIn(
            socket, ladder=Ladder(tries=1, anew=False), extensions={"8003": lost}
        ) as switch:
            await greeted(await of.switch.call())
            assert not calls.ready
            new = await switch.call()
            await new.ended()
            assert (calls.refused, calls.last_refusal) == (1, "")
            await greeted(await switch.call("8003"))
            assert (len(calls.calls), calls.taken, calls.taken_new) == (2, 2, 1)
            calls._returned()  # the time for it is over
            assert await refuses(calls.port)


async def test_calls_of_something_else_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    async with rig() as of:
        esl = f"http://127.0.0.1:{of.controller.calls.port}"
        settings = load(None, {}).settings
        assert await asyncio.to_thread(list_calls, settings, url=esl, as_json=False) == 1
        assert "no answer from" in capsys.readouterr().err


async def test_a_connection_that_is_no_switch_is_no_call() -> None:
    async with rig() as of:
        with capture_logs() as logs:
            reader, writer = await asyncio.open_connection("127.0.0.1", of.controller.calls.port)
            assert (await reader.readuntil(b"\n\n")) == b"connect\n\n"
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.write_eof()
            await reader.read()
            writer.close()
            await writer.wait_closed()
            await until(lambda: any("brought no call" in line["event"] for line in logs))
        assert not [line for line in logs if line["log_level"] == "error"]
        assert of.controller.calls.taken == 0


async def test_a_connection_that_is_gone_at_once_is_no_fault() -> None:
    async with rig() as of:
        with capture_logs() as logs:
            reader, writer = await asyncio.open_connection("127.0.0.1", of.controller.calls.port)
            assert (await reader.readuntil(b"\n\n")) == b"connect\n\n"
            writer.close()
            await writer.wait_closed()
            await until(lambda: any("brought no call" in line["event"] for line in logs))
        assert [line["log_level"] for line in logs] == ["info"]


async def test_a_call_that_ends_while_it_comes_back_is_not_taken() -> None:
    first, *_ = messages("conversation")
    answered = re.sub(rb"(?m)^Answer-State: .*$", b"Answer-State: answered", first)
    async with rig() as of:
        reader, writer = await asyncio.open_connection("127.0.0.1", of.controller.calls.port)
        for _ in range(4):
            await reader.readuntil(b"\n\n")
        writer.write(answered + OK * 3)
        assert b"controller_again" in await reader.readuntil(b"\n\n")
        with capture_logs() as logs:
            writer.write(api_reply("-ERR No such channel!\n"))
            assert await reader.read() in (b"", b"exit\n\n"), "it lets go at once"
        writer.close()
        await writer.wait_closed()
        assert of.controller.calls.taken == 0
        assert [line["log_level"] for line in logs] == ["info"]


async def test_a_call_that_is_dialled_again_leaves_its_older_session() -> None:
    async with rig() as of:
        call = await of.switch.call()
        await call.wait_heard()
        older = of.controller.calls.calls[call.uuid]
        # The switch brings the call back to us while the older connection lingers beside it.
        await of.switch.api("uuid_transfer", f"{call.uuid} 8000 XML default")
        await until(lambda: of.controller.calls.taken == 2)
        assert of.controller.calls.calls[call.uuid] is not older
        await greeted(call)
        assert of.controller.calls.taken == 2, "the switch had to dial once more"
        assert call.cause == ""
        call.hangup()


class SlowClaim:
    """Holds the claims of a store back until ``may_claim`` is set."""

    def __init__(self, store: Store | None, patch: pytest.MonkeyPatch) -> None:
        assert store is not None
        self.asked, self.may_claim = asyncio.Event(), asyncio.Event()
        self._claim = store.claim
        patch.setattr(store, "claim", self)

    async def __call__(self, call_uuid: str, owner: str, comes: Identity) -> Claimed:
        self.asked.set()
        await self.may_claim.wait()
        return await self._claim(call_uuid, owner, comes)


async def test_a_call_that_is_still_claimed_when_the_end_comes_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rig() as of:
        call = await of.switch.call()
        await greeted(call)
        claim = SlowClaim(of.controller.store, monkeypatch)
        await of.switch.api("uuid_transfer", f"{call.uuid} 8000 XML default")
        await asyncio.wait_for(claim.asked.wait(), 5)
        stopping = asyncio.create_task(of.controller.calls.stop(5.0))
        await until(lambda: not of.controller.calls.ready)
        claim.may_claim.set()
        await stopping
        assert of.controller.calls.taken == 1, "nobody would hand it over"
        assert call.cause == "", "the switch has it"
        call.hangup()


async def test_who_hangs_up_while_the_call_is_claimed_has_hung_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rig() as of:
        call = await of.switch.call()
        await greeted(call)
        claim = SlowClaim(of.controller.store, monkeypatch)
        await of.switch.api("uuid_transfer", f"{call.uuid} 8000 XML default")
        await asyncio.wait_for(claim.asked.wait(), 5)
        call.hangup()
        await call.ended()
        with capture_logs() as logs:
            claim.may_claim.set()
            await until(lambda: of.controller.calls.taken == 2)
            await of.no_calls()
        causes = [line["cause"] for line in logs if line["event"] == "call over"]
        assert causes == ["NORMAL_CLEARING"] * 2, "the older session's, and the new one's at once"
        assert [line for line in logs if line["log_level"] != "info"] == []


async def test_a_module_that_dials_for_a_call_that_is_over_is_no_fault() -> None:
    async with rig() as of:
        call = await of.switch.call()
        await greeted(call)
        path = of.controller.calls.calls[call.uuid].channel.media_path
        call.hangup()
        await of.no_calls()
        address = of.controller.media_url.replace("ws:", "http:")
        with capture_logs() as logs:
            for at, level in ((path, "info"), (path[:-1], "warning")):
                with pytest.raises(HTTPError, match="404"):
                    await asyncio.to_thread(urlopen, address + at)
                assert logs[-1]["log_level"] == level


def get(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urlopen(url, timeout=2) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, json.load(error)


async def test_health_readiness_and_calls(capsys: pytest.CaptureFixture[str]) -> None:
    async with rig() as of:
        web = f"http://127.0.0.1:{of.controller.web_port}"
        assert await asyncio.to_thread(get, f"{web}/healthz") == (200, {"status": "ok"})
        assert await asyncio.to_thread(get, f"{web}/readyz") == (200, {"ready": True, "calls": 0})
        call = await of.switch.call(caller="+5511987654321")
        await call.wait_heard()
        settings = load(None, {}).settings
        assert await asyncio.to_thread(list_calls, settings, url=web, as_json=False) == 0
        printed = capsys.readouterr().out
        assert call.uuid in printed
        assert "+5511987654321" in printed
        assert "1 live, 1 taken" in printed
        assert await asyncio.to_thread(list_calls, settings, url=web, as_json=True) == 0
        told = json.loads(capsys.readouterr().out)
        (entry,) = told["calls"]
        assert entry["speaking_by"] == "lane"
        assert entry["state"] == "talking"
        call.hangup()


@pytest.mark.parametrize(
    ("accepted", "told", "status"), [({}, {}, 1), ([], [], 1), ({"calls": 1}, {}, 0)]
)
async def test_a_drain_of_something_else_is_no_traceback(
    accepted: object, told: object, status: int
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(accepted if request.method == "POST" else told)

    application, settings = web.Application(), load(None, {}).settings
    application.router.add_route("*", "/{any}", answer)
    async with TestServer(application) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert await asyncio.to_thread(drain, settings, limit_s=5.0, url=url) == status


def test_calls_without_a_controller_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert list_calls(load(None, {}).settings, url="http://127.0.0.1:9", as_json=False) == 1
    assert "Is the controller running" in capsys.readouterr().err
