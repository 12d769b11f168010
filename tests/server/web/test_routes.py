"""What the controller answers over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession

from tests.calls.rig import Rig, greeted, rig


async def get(of: Rig, path: str) -> tuple[int, dict[str, Any]]:
    async with ClientSession() as http, http.get(f"{of.controller.web_url}{path}") as answer:
        return answer.status, await answer.json()


async def test_a_live_call_is_listed_with_the_place_where_it_is() -> None:
    async with rig() as of:
        await greeted(call := await of.switch.call())
        status, told = await get(of, "/calls")
        (listed,) = told["calls"]
        assert (status, listed["call_uuid"], listed["state"]) == (200, call.uuid, "talking")
        assert listed["where"].startswith("talking; hears: stream; speaks: lane; model: ready")
        assert listed["counters"]["events_ignored"] == 0
        call.hangup()
        await of.no_calls()
        assert await get(of, "/readyz") == (200, {"ready": True, "calls": 0})


async def test_a_controller_that_takes_no_calls_is_alive_and_not_ready() -> None:
    async with rig() as of:
        of.controller.calls.close()
        assert await get(of, "/healthz") == (200, {"status": "ok"})
        assert await get(of, "/readyz") == (503, {"ready": False, "calls": 0})


@pytest.mark.parametrize("limit", ["-1", "nan", "soon", ""])
async def test_a_drain_without_sense_is_refused(limit: str) -> None:
    async with rig(settings={"WEB_TOKEN": "t0ken"}) as of, ClientSession() as http:
        url = f"{of.controller.web_url}/drain?limit_s={limit}"
        async with http.post(url, headers={"Authorization": "Bearer t0ken"}) as answer:
            assert (answer.status, await answer.text()) == (
                400,
                "limit_s is no number of seconds\n",
            )
        assert of.controller.calls.ready
        assert of.controller.shutdown.drain(1.0), "none was accepted before"
