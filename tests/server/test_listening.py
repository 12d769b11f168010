"""Where the process listens for HTTP."""

from __future__ import annotations

import contextlib
import socket

import pytest

from esl_controller.server.listening import OWN_PORTS, serve_locally, serve_tcp, told_by
from tests.live.freeswitch import free_port


async def test_where_controllers_share_it_takes_the_next_free_port() -> None:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        first = await serve_tcp(stack, [], "127.0.0.1", port, share=True)
        second = await serve_tcp(stack, [], "127.0.0.1", port, share=True)
        assert first == port
        assert port < second <= port + OWN_PORTS


async def test_alone_it_takes_its_port_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with contextlib.AsyncExitStack() as stack:
            with (
                pytest.raises(OSError, match=r"\[web\] host and port"),
                told_by("web", "::1", port),
            ):
                await serve_tcp(stack, [], "127.0.0.1", port, share=False)
            assert await serve_tcp(stack, [], "127.0.0.1", 0, share=True)


async def test_a_local_socket_that_is_taken_is_told_and_does_not_matter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        await serve_locally(stack, [], port)
        await serve_locally(stack, [], port)
    assert "no local socket" in capsys.readouterr().out
