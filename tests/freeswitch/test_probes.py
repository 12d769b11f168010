"""The doctor's test legs at a running controller."""

from __future__ import annotations

import json
from uuid import uuid4

from aiohttp import ClientSession, WSServerHandshakeError

from esl_controller.freeswitch.probes import MEDIA_URL, VARIABLE, VERSION
from tests.calls.rig import Rig, rig
from tests.waiting import until


async def dial(of: Rig) -> str:
    """A leg that goes to the controller as a probe; its uuid."""
    uuid = str(uuid4())
    target = f"127.0.0.1:{of.controller.calls.port}"
    marked = f"origination_uuid={uuid},{VARIABLE}=token,socket_resume=true"
    answer = await of.switch.api(
        "originate", f"{{{marked}}}null/doctor &socket('{target} async full')"
    )
    assert answer == f"+OK {uuid}\n"
    session = of.switch.sessions[uuid]
    await until(lambda: MEDIA_URL in session.channel.variables)
    return uuid


async def opens(url: str, token: str) -> int:
    """The HTTP status of a media WebSocket; 101 if it opens."""
    async with ClientSession() as client:
        try:
            headers = {"Authorization": f"Bearer {token}"}
            async with client.ws_connect(url, headers=headers):
                return 101
        except WSServerHandshakeError as error:
            return error.status


async def test_a_probe_is_told_who_took_it_and_is_no_call() -> None:
    async with rig() as of:
        uuid = await dial(of)
        variables = of.switch.sessions[uuid].channel.variables
        assert variables[VERSION]
        assert variables[MEDIA_URL] == of.controller.media_url
        url = f"{variables[MEDIA_URL]}/stream/{variables['domain_uuid']}/{uuid}"
        assert await opens(url, "token") == 101
        assert await opens(url, "guessed") == 401
        await of.switch.api("uuid_kill", uuid)
        path = url[url.index("/stream") :]
        await until(lambda: of.controller.calls.expected_stream(path) is None)
        assert await opens(url, "token") == 404
        assert of.controller.calls.taken == 0
        assert of.controller.store is not None
        assert await of.controller.store.recent(1) == []


async def test_the_list_of_calls_says_who_was_refused_last_and_why() -> None:
    async with rig(settings={"ESL_ALLOW": "10.0.0.0/8"}) as of, ClientSession() as client:
        await (await of.switch.call()).ended()
        async with client.get(f"http://127.0.0.1:{of.controller.web_port}/calls") as answer:
            told = json.loads(await answer.read())
        assert told["last_refusal"] == "127.0.0.1: its address is not within [esl] allow"
