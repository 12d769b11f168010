"""No secret is in a log, at any level: whole runs as operators start them, and what they print."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, SwitchStandIn
from esl_controller.simulator.model import ModelStandIn, ScriptedCall
from esl_controller.simulator.model_base.record import SessionRecord
from tests import postgres
from tests.calls.rig import greeted, words
from tests.server.test_app import ANY_PORT
from tests.waiting import until

KEY = "skarlet-openai-9f2c77"  # not as OpenAI's look, which the log knows by their form
PASSWORD = "esl password, 5d1e"
SIGNING = "hmac-7b03-signs"
IN_URL = "hook-4417-knows"
OF_DATABASE = "p@ss/of:6f0c-of-the-database?"
UNQUOTED = "postgresql://somebody:p@ss/6f0c-of-the-database@127.0.0.1:1/calls"
DIGITS = "739150284617"

SECRETARY = """
[tools]
enabled = ["collect_digits", "end_call"]
[[tools.webhooks]]
name = "check_card"
description = "Check the caller's card."
url = "{url}/{hook}/check?key={hook}"
secure = {{ card = "card" }}
[[tools.webhooks]]
name = "ask_nobody"
description = "Ask a server that is not there."
url = "http://127.0.0.1:9/{hook}?key={hook}"
secure = {{ card = "card" }}
[events]
call_ended_url = "{url}/{hook}/ended?key={hook}"
"""

SCRIPT = (
    ScriptedCall(1, "collect_digits", '{"name": "card", "count": 12, "secure": true}'),
    ScriptedCall(2, "check_card"),
    ScriptedCall(2, "ask_nobody"),
    ScriptedCall(3, "end_call"),
)


@dataclass
class Run:
    """A command of ours, at debug level, and all that it has printed so far."""

    process: asyncio.subprocess.Process
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    async def said(self, event: str, times: int = 1) -> dict[str, Any]:
        """Wait for a line; the first of its kind."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines if line["event"] == event]

        await until(lambda: len(found()) >= times, 20)
        return found()[0]


@contextlib.asynccontextmanager
async def run(out: Path, *command: str, **environment: str) -> AsyncIterator[Run]:
    secrets = {
        "OPENAI_API_KEY": KEY,
        "FREESWITCH_PASSWORD": PASSWORD,
        "ESL_CONTROLLER_WEBHOOK_SECRET": SIGNING,
        "ESL_CONTROLLER_LOG_LEVEL": "debug",
        "PYTHONASYNCIODEBUG": "1",
    }
    with out.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "esl_controller", *command),
            env={**os.environ, **ANY_PORT, **secrets, **environment},
            stdout=file,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield Run(process, out)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def leaks(text: str, *secrets: str) -> list[str]:
    """The lines that tell one of ``secrets``, however its characters are written."""
    found = []
    for line in text.splitlines():
        plain = re.sub(r"%([0-9A-Fa-f]{2})", lambda code: chr(int(code[1], 16)), line)
        found += [line for secret in secrets if secret in line or secret in plain]
    return found


async def say(call: CallStandIn) -> None:
    pcm, rate = words()
    call.speak(pcm, rate)


async def test_a_whole_call_at_debug_level_logs_no_secret(tmp_path: Path) -> None:
    async with (
        ModelStandIn(greeting="caller_interrupts", think_ms=20, script=SCRIPT) as model,
        somebody_else() as server,
    ):
        folder = tmp_path / "secretaries"
        folder.mkdir()
        (folder / "default.toml").write_text(SECRETARY.format(url=server.url, hook=IN_URL))
        environment = {
            "ESL_CONTROLLER_STORE_URL": f"sqlite:///{tmp_path}/calls.db",
            "ESL_CONTROLLER_SECRETARIES_FOLDER": str(folder),
            "ESL_CONTROLLER_WEBHOOK_ALLOW": "127.0.0.0/8",
            "ESL_CONTROLLER_AGENT_BASE_URL": model.base_url,
        }
        async with run(tmp_path / "log", "serve", **environment) as served:
            ready = await served.said("ready")
            async with SwitchStandIn(ready["esl"]) as switch:
                call = await switch.call()
                # The first call of a process waits for imports, with a sentence of our own.
                await until(lambda: bool(model.sessions), 20)
                await greeted(call)
                token = bearer(call)
                record = model.sessions[0].record
                await say(call)
                await no_more_audio(record)
                call.dtmf(DIGITS)
                for answered in (1, 3):
                    await until(partial(has_outputs, record, answered), 10)
                    await greeted(call)
                    await say(call)
                assert await call.ended(timeout=20) == "NORMAL_CLEARING"
                await served.said("delivery made")
            served.process.send_signal(signal.SIGTERM)
            assert await served.process.wait() == 0
    assert server.asked["check"]["arguments"] == {"card": DIGITS}
    assert server.asked["ended"]["call_uuid"] == call.uuid
    # That is the debug level, and the run is in it.
    told = Counter(re.sub(r"[:'].*", "", line["event"]) for line in served.lines)
    assert told["Received an event"] > 20
    assert told["Send command"] >= 10
    assert served.text.count("Received an event: 'DTMF'") == len(DIGITS)
    for event in ("a webhook function failed", "delivery made", "call over", "stopping"):
        assert told[event] == 1
    assert f"{call.uuid} STREAM_EXTRA_HEADERS" in served.text
    assert "Traceback" not in served.text
    secrets = (KEY, PASSWORD, SIGNING, IN_URL, DIGITS, token)
    assert leaks(served.text, *secrets) == []
    kept = (tmp_path / "calls.db").read_bytes()
    assert call.uuid.encode() in kept
    # The record has the URL for as long as there is something to send.
    assert not [secret for secret in secrets if secret.encode() in kept and secret != IN_URL]


async def test_a_call_that_we_make_logs_no_secret(tmp_path: Path) -> None:
    at = ("127.0.0.1", 0)
    there = {"9196": [DialplanAction("answer"), DialplanAction("hangup")]}
    async with SwitchStandIn(event_socket=at, password=PASSWORD, extensions=there) as switch:
        assert switch.event_socket is not None
        environment = {
            "ESL_CONTROLLER_FREESWITCH_HOST": switch.event_socket[0],
            "ESL_CONTROLLER_FREESWITCH_PORT": str(switch.event_socket[1]),
        }
        async with run(tmp_path / "right", "call", "9196", **environment) as right:
            await right.process.wait()
        wrong = {**environment, "FREESWITCH_PASSWORD": f"not {PASSWORD}"}
        async with run(tmp_path / "wrong", "call", "9196", **wrong) as refused:
            assert await refused.process.wait() == 1
    for made in (right, refused):
        assert "Send command: auth ***" in made.text
        assert leaks(made.text, PASSWORD) == []


async def test_the_password_of_the_database_is_nowhere(
    postgresql: postgres.Server, tmp_path: Path
) -> None:
    database = postgres.Database(postgresql)
    user = f"user_of_{database.name}"
    database.sql(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{OF_DATABASE}'")

    def at(port: int, password: str = OF_DATABASE, name: str = database.name) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{port}/{name}"

    right = at(postgresql.port)
    wrong = (at(1), at(postgresql.port, f"not {OF_DATABASE}"), at(postgresql.port, name="nowhere"))
    served = await served_without_database(database, right, tmp_path / "serve")
    status, recent = await ended(tmp_path / "recent", right, "calls", "recent")
    assert status == 0
    assert "completed" in recent
    status, settings = await ended(tmp_path / "settings", right, "settings")
    assert status == 0
    assert "127.0.0.1" in settings
    status, refused = await ended(tmp_path / "unquoted", UNQUOTED, "calls", "recent")
    assert status == 2
    assert "@ is written %40" in refused
    printed = [served, recent, settings, refused]
    for number, url in enumerate(wrong):
        for command in (("serve",), ("calls", "recent")):
            status, text = await ended(tmp_path / f"{command[0]}{number}", url, *command)
            assert status == 1
            assert "[store] url" in text
            printed.append(text)
    database.sql(f"DROP OWNED BY {user};\nDROP ROLE {user}")
    database.drop()
    for text in printed:
        assert "Traceback" not in text
        assert leaks(text, OF_DATABASE, quote(OF_DATABASE, safe=""), "6f0c-of-the") == []


async def served_without_database(database: postgres.Database, url: str, out: Path) -> str:
    """What ``serve`` prints of a call whose end it cannot write down at once."""
    async with ModelStandIn(greeting="caller_interrupts") as model:
        environment = {
            "ESL_CONTROLLER_AGENT_BASE_URL": model.base_url,
            "ESL_CONTROLLER_STORE_URL": url,
        }
        async with run(out, "serve", **environment) as served:
            ready = await served.said("ready")
            async with SwitchStandIn(ready["esl"]) as switch:
                call = await switch.call()
                # A sentence of ours may come before, where the model is slow to be there.
                await until(lambda: bool(model.sessions and model.sessions[0].record.spoken), 20)
                await call.wait_heard()
                with database.away():
                    call.hangup()
                    await served.said("the call record cannot be written now")
                await served.said("the call record is written again")
            served.process.send_signal(signal.SIGTERM)
            assert await served.process.wait() == 0
    return served.text


async def ended(out: Path, url: str, *command: str) -> tuple[int, str]:
    """A command's exit status, and what it prints, with the record at ``url``."""
    async with run(out, *command, ESL_CONTROLLER_STORE_URL=url) as ran:
        return await ran.process.wait(), ran.text


def bearer(call: CallStandIn) -> str:
    """What mod_audio_stream shows our WebSocket, in this call alone."""
    headers = json.loads(call.variables["STREAM_EXTRA_HEADERS"])
    return str(headers["Authorization"].removeprefix("Bearer "))


def has_outputs(record: SessionRecord, number: int) -> bool:
    """Whether so many function calls have an outcome."""
    events = [e for e in record.client_events if e["type"] == "conversation.item.create"]
    return [event["item"]["type"] for event in events].count("function_call_output") == number


async def no_more_audio(record: SessionRecord) -> None:
    """Wait until the model is not sent the caller any more: the digits are none of its business."""
    await until(lambda: time.monotonic() - record.appends[-1].at > 0.3, 10)


@dataclass
class Server:
    """Who is told of calls: what it was sent, by the end of the path."""

    url: str = ""
    asked: dict[str, Any] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def somebody_else() -> AsyncIterator[Server]:
    server = Server()

    async def answer(request: web.Request) -> web.Response:
        assert request.query["key"] == IN_URL
        what = request.path.rpartition("/")[2]
        server.asked[what] = await request.json()
        return web.json_response({"card": "valid"})

    app = web.Application()
    app.add_routes([web.post("/{tail:.*}", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
