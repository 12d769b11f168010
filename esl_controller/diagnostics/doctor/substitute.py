"""Listens in the controller's place while none runs, so that FreeSWITCH has somebody to dial."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

from esl_controller.config.settings import Settings
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.wire import SwitchError
from esl_controller.server.http_server import at, serving
from esl_controller.server.listener import CallListener
from media.stream import StreamEndpoint


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[CallListener]:
    """Listen on the two ports that [esl] and [media] name. The doctor's test legs are taken; a real
    call that comes meanwhile goes on with its dialplan. Raises OSError."""
    # Never share the port with a controller: some of its calls would come here, and be refused.
    alone = settings.esl.model_copy(update={"share": False})
    calls = CallListener(alone, _no_session, _no_record)
    async with AsyncExitStack() as stack:
        streams = StreamEndpoint(calls.expected_stream)
        media = settings.media
        server = await stack.enter_async_context(
            serving(streams.routes(), at(media.host, media.port))
        )
        stack.push_async_callback(streams.close)
        calls.probes.media_url = media.base_url(int(server.sockets[0].getsockname()[1]))
        stack.push_async_callback(calls.stop)
        await calls.start()
        yield calls


def _no_session(*_: object) -> NoReturn:
    raise SwitchError("no controller runs; the doctor listens in its place")


async def _no_record(channel: Channel) -> None:
    return None
