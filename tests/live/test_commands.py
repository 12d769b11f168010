"""``esl-controller serve`` and ``call`` as processes, over loopback."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from esl_controller.simulator.model import ModelStandIn
from media import sounds
from media.resample import convert
from tests.live.audio import as_played, match, recorded
from tests.live.freeswitch import FreeSwitch, free_port
from tests.live.processes import run, serving
from tests.live.rig import environment, until_async


async def test_call_is_answered_heard_and_recorded(switch: FreeSwitch, tmp_path: Path) -> None:
    wav = tmp_path / "call.wav"
    async with ModelStandIn() as model:
        settings = environment(switch, model.base_url)
        async with serving(settings) as controller:
            own = environment(switch, "")
            status, out, error = await run("call", "8000", "--record", str(wav), environment=own)
            assert (status, error.count("Traceback")) == (0, 0), error
            assert out.count("we hear speech") == 2

            async def no_calls() -> bool:
                return not (await controller.get("/calls"))["calls"]

            await until_async(no_calls)
        assert [line for line in controller.lines if line["level"] != "info"] == []
        with wave.open(str(wav)) as file:
            rate, channels = file.getframerate(), file.getnchannels()
            both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert channels == 2
        left, right = both[:, 0].copy(), both[:, 1].copy()
        record = model.sessions[0].record
        for spoken in record.spoken.values():
            sent = as_played(bytes(spoken.audio), spoken.format, rate)
            assert recorded(right, sent, rate) >= 0.9
        values, own_rate = sounds.load("caller")
        words = convert(values, own_rate, rate)
        assert recorded(left, words, rate) >= 0.9
        # Greeting, our words, the reply: in this order on the recording.
        first, second = (
            match(right, as_played(bytes(s.audio), s.format, rate)).at
            for s in record.spoken.values()
        )
        assert first < match(left, words).at < second


async def test_call_to_a_number_that_is_not_there(any_switch: FreeSwitch) -> None:
    status, _, error = await run("call", "7777", environment=environment(any_switch, ""))
    assert status == 1
    assert "not answered: NO_ROUTE_DESTINATION" in error


async def test_call_without_a_freeswitch(any_switch: FreeSwitch) -> None:
    settings = environment(any_switch, "") | {"ESL_CONTROLLER_FREESWITCH_PORT": str(free_port())}
    status, _, error = await run("call", "8000", environment=settings)
    assert status == 1
    assert "Is FreeSWITCH running" in error


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_call_with_a_wrong_password(any_switch: FreeSwitch, password: str) -> None:
    settings = environment(any_switch, "") | {"FREESWITCH_PASSWORD": password}
    status, _, error = await run("call", "8000", environment=settings)
    assert status == 1
    assert "FREESWITCH_PASSWORD" in error
