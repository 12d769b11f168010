"""Who may ask for what over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from esl_controller.config.loading import load
from esl_controller.server.web.guard import guard

TOKEN = {"Authorization": "Bearer t0ken"}


async def _ok(request: web.Request) -> web.Response:
    return web.Response(text="ok")


@asynccontextmanager
async def guarded(**settings: str) -> AsyncIterator[TestClient[Any, Any]]:
    """A server with these settings of [web]."""
    environment = {f"ESL_CONTROLLER_WEB_{name.upper()}": it for name, it in settings.items()}
    application = web.Application(middlewares=[guard(load(None, environment).settings.web)])
    application.router.add_route("*", "/{path:.*}", _ok)
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8023", 200),
        ("[::1]:8023", 200),
        ("10.1.2.3", 200),
        ("LocalHost:8023", 200),
        ("calls.example.net", 200),
        ("Calls.Example.Net:443", 200),
        ("rebound.example", 421),
        ("localhost.example", 421),
        ("127.0.0.1.rebound.example", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
async def test_the_name_that_is_asked_for_must_be_ours(host: str, status: int) -> None:
    async with guarded(allowed_hosts="calls.example.net") as client:
        answer = await client.get("/calls", headers={"Host": host})
        assert answer.status == status
        assert (await client.get("/readyz", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:8023"}, 200),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "https://example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_another_sites_page_may_not_ask(headers: dict[str, str], status: int) -> None:
    async with guarded() as client:
        answer = await client.get("/calls", headers={"Host": "127.0.0.1:8023", **headers})
        assert answer.status == status


async def test_a_drain_needs_a_token_and_nothing_else_does_without_one() -> None:
    async with guarded() as client:
        for headers in ({}, TOKEN):
            answer = await client.post("/drain", headers=headers)
            assert answer.status == 403
            assert "[web] token" in await answer.text()
        assert (await client.get("/calls")).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "::ffff:10.1.2.3", "calls.example"])
async def test_who_comes_from_another_machine_is_told_of_no_caller_without_a_token(
    host: str,
) -> None:
    async with guarded(host=host) as client:
        for path in ("/calls", "/drain", "/anything"):
            answer = await client.post(path)
            assert answer.status == 403, path
            assert "[web] token (ESL_CONTROLLER_WEB_TOKEN)" in await answer.text()
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path)).status == 200
    async with guarded(host=host, token="t0ken") as client:
        assert (await client.get("/calls", headers=TOKEN)).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost", "LocalHost"])
async def test_loopback_is_this_machine(host: str) -> None:
    async with guarded(host=host) as client:
        assert (await client.get("/calls")).status == 200


@pytest.mark.parametrize("path", ["/calls", "/drain", "/anything"])
@pytest.mark.parametrize(
    ("shown", "status"), [("", 401), ("t0ken", 401), ("Bearer t0ke", 401), ("Bearer t0ken", 200)]
)
async def test_a_token_that_is_set_is_asked_for(path: str, shown: str, status: int) -> None:
    async with guarded(token="t0ken") as client:
        answer = await client.post(path, headers={"Authorization": shown} if shown else {})
        assert answer.status == status
        assert (await client.get("/healthz")).status == 200
