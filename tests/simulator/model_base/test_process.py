"""The model stand-ins as processes of their own."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from esl_controller.simulator.live.__main__ import main as live_main
from esl_controller.simulator.model.__main__ import main
from tests.simulator.live import client as live_client
from tests.simulator.model import client as model_client
from tests.simulator.model_base.client import KEY


@dataclass
class StandInProcess:
    """A stand-in as a process of its own."""

    base_url: str
    session: dict[str, Any] = field(default_factory=dict)
    """The summary of its only session, once it has ended."""

    def heard(self) -> tuple[int, int]:
        """Rate in Hz and number of samples of the WAV that it saved."""
        with wave.open(self.session["heard"]) as sound:
            return sound.getframerate(), sound.getnframes()


@asynccontextmanager
async def as_a_process(module: str, save: Path, *options: str) -> AsyncIterator[StandInProcess]:
    """Run a stand-in until the block ends; then SIGTERM makes it print its summary."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "--save", str(save), *options),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        running = StandInProcess(json.loads(await process.stdout.readline())["base_url"])
        yield running
        process.send_signal(signal.SIGTERM)
        summary = json.loads(await process.stdout.readline())
        assert await process.wait() == 0
        (running.session,) = summary["sessions"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_realtime_stand_in(tmp_path: Path) -> None:
    options = ("--pace", "0", "--think-ms", "0", "--language", "pt")
    call = ("--call", '1:transfer:{"to": "sales"}')
    async with (
        as_a_process("esl_controller.simulator.model", tmp_path, *options, *call) as process,
        AsyncOpenAI(api_key=KEY, base_url=process.base_url) as openai,
        openai.realtime.connect(model=model_client.MODEL) as connection,
    ):
        events: list[dict[str, Any]] = []
        await connection.response.create()
        while not events or events[-1]["type"] != "response.done":
            events.append(json.loads(await connection.recv_bytes()))
            model_client.check_server_event(events[-1])
        assert "Olá" in events[-1]["response"]["output"][0]["content"][0]["transcript"]
    session = process.session
    assert session["sent"]["response.done"] == 1
    (deltas,) = session["deltas"].values()
    assert sum(ms for _, ms in deltas) == pytest.approx(4944, abs=1)
    assert process.heard() == (24000, 0)


async def test_the_gpt_live_stand_in(tmp_path: Path) -> None:
    options = ("--think-ms", "0", "--language", "pt-BR", "--key", KEY)
    async with (
        as_a_process("esl_controller.simulator.live", tmp_path, *options) as process,
        live_client.connected_to(process.base_url) as client,
    ):
        await client.send(
            "session.start", session={**live_client.START, "instructions": "Be brief."}
        )
        await client.send("session.commentary.append", content="Greet.", delegation_id=None)
        await client.append(live_client.SILENCE * 20)
        words = await client.until("session.output_transcript.delta")
        assert words["delta"].startswith("Olá")
    assert process.session["instructions"] == "Be brief."
    assert process.session["sent"]["session.started"] == 1
    assert process.heard() == (24000, 48000)


@pytest.mark.parametrize("main", [main, live_main])
def test_a_port_that_is_taken(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--pace", "-1"],
        ["--port", "99999"],
        ["--call", "hello"],
        ["--fault", "nonsense=1"],
        ["--fault", "expire_s=soon"],
        ["--fault", "close_how=loudly"],
    ],
)
def test_wrong_arguments_are_one_clear_line(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(wrong)
    assert stopped.value.code == 2
    assert f"argument {wrong[0]}" in capsys.readouterr().err
