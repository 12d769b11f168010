"""mod_audio_stream: every sample, in order, in both builds; and where the builds differ."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from esl_controller.simulator.freeswitch import CallStandIn, Faults, SwitchStandIn
from esl_controller.simulator.freeswitch.events import CodecName
from esl_controller.simulator.freeswitch.stream import Build
from tests.simulator.freeswitch.rig import Controller, ControllerServer, MediaServer
from tests.waiting import until

BUILDS: list[Build] = ["sptmru", "amigniter"]


@asynccontextmanager
async def rig(
    build: Build | None, codec: CodecName = "L16", faults: Faults | None = None
) -> AsyncIterator[tuple[CallStandIn, Controller, MediaServer]]:
    async with (
        ControllerServer().run() as server,
        MediaServer().run() as media,
        SwitchStandIn(server.target, build=build) as switch,
    ):
        call = await switch.call(codec=codec, faults=faults)
        controller = await server.next()
        await controller.open_call()
        yield call, controller, media


async def start(
    call: CallStandIn, controller: Controller, media: MediaServer, rest: str = "mono 16k"
) -> None:
    await ask(call, controller, media, rest)
    await call.stream_connected()


async def ask(call: CallStandIn, controller: Controller, media: MediaServer, rest: str) -> None:
    """Start without waiting for the connection."""
    answer = await controller.api(f"uuid_audio_stream {call.uuid} start {media.url()} {rest}")
    assert answer == "+OK Success\n"


def words(media: MediaServer) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """What came, from the first sound to the last."""
    sound = np.nonzero(media.pcm)[0]
    return media.pcm[sound[0] : sound[-1] + 1] if len(sound) else media.pcm[:0]


@pytest.mark.parametrize("build", BUILDS)
async def test_every_sample_arrives_in_order(build: Build) -> None:
    async with rig(build) as (call, controller, media):
        await start(call, controller, media)
        ramp = np.arange(1, 5001, dtype=np.int16)
        call.speak(ramp[:3333], 16000)
        begins = call.speak(ramp[3333:], 16000)
        assert 0.2 < begins - asyncio.get_running_loop().time() < 0.3
        await media.until(lambda: bool(len(media.pcm)) and media.pcm.max() == 5000)
        said = words(media)
        # Two sounds: only the silence that fills up the last frame is between them.
        filled = -3333 % 320
        assert np.array_equal(said[:3333], ramp[:3333])
        assert not said[3333 : 3333 + filled].any()
        assert np.array_equal(said[3333 + filled :], ramp[3333:])
        assert {len(m) for m in media.messages} == {1280 if build == "sptmru" else 640}


@pytest.mark.parametrize("build", BUILDS)
async def test_the_stream_runs_in_real_time(build: Build) -> None:
    async with rig(build) as (call, controller, media):
        await start(call, controller, media)
        await media.until(lambda: len(media.pcm) > 0)
        switch = call._session.switch
        began, had = switch.next_tick, len(media.pcm)
        await media.until(lambda: len(media.pcm) - had >= 16000 * 0.3)
        assert 0.25 < switch.next_tick - began < 0.4
        # And that clock is never ahead of the machine's, nor far behind it.
        assert -0.08 < switch.next_tick - time.monotonic() <= 0.02


SIZES: list[tuple[Build, CodecName, str, str, int, int]] = [
    # build, codec, asked, STREAM_BUFFER_SIZE: message bytes, Hz. Measured, see `stream`.
    *(("sptmru", "PCMU", "8k", buffer, 640, 8000) for buffer in ("", "20", "100")),
    *(("sptmru", "PCMU", "16k", buffer, 1280, 8000) for buffer in ("", "20", "40")),
    ("sptmru", "L16", "8k", "", 640, 16000),
    ("sptmru", "L16", "16k", "", 1280, 16000),
    ("sptmru", "opus", "8k", "", 1920, 48000),
    ("sptmru", "opus", "16k", "20", 1920, 48000),
    *(("amigniter", "PCMU", "8k", buffer, 320, 8000) for buffer in ("", "20", "30", "x")),
    ("amigniter", "PCMU", "8k", "40", 640, 8000),
    *(("amigniter", "PCMU", rate, "", 640, 16000) for rate in ("16k", "16000")),
    ("amigniter", "PCMU", "16k", "60", 1920, 16000),
    ("amigniter", "L16", "8k", "", 320, 8000),
    ("amigniter", "opus", "16k", "100", 3200, 16000),
]


@pytest.mark.parametrize(("build", "codec", "asked", "buffer", "size", "rate"), SIZES)
async def test_rates_and_sizes(
    build: Build, codec: CodecName, asked: str, buffer: str, size: int, rate: int
) -> None:
    async with rig(build, codec) as (call, controller, media):
        if buffer:
            await controller.api(f"uuid_setvar {call.uuid} STREAM_BUFFER_SIZE {buffer}")
        await start(call, controller, media, f"mono {asked}")
        # By the clock of the frames: the test's own clock runs on while a busy machine holds it.
        began, before = call._session.switch.next_tick, len(media.pcm)
        call.speak(np.full(call.rate // 10, 1000, np.int16), call.rate)
        await media.until(lambda: bool(media.pcm.any() and not media.pcm[-1]))
        assert {len(m) for m in media.messages} == {size}
        seconds = call._session.switch.next_tick - began
        assert abs((media.pcm != 0).sum() / rate - 0.1) < 0.03 + 0.01 * seconds
        assert abs((len(media.pcm) - before) / rate - seconds) < size / 2 / rate + 0.03


async def test_a_telephone_voice_is_resampled_in_one_piece() -> None:
    async with rig("amigniter", "PCMU") as (call, controller, media):
        await start(call, controller, media)
        tone = (np.sin(2 * np.pi * 400 * np.arange(4000) / 8000) * 10000).astype(np.int16)
        call.speak(tone, 8000)
        await media.until(lambda: len(words(media)) > 7900)
        expected = np.sin(2 * np.pi * 400 * np.arange(8000) / 16000) * 10000
        got = media.pcm[np.nonzero(np.abs(media.pcm) > 2000)[0][0] - 2 :]
        best = max(
            np.corrcoef(expected[100:7000], np.roll(got, shift)[100:7000])[0, 1]
            for shift in range(-10, 10)
        )
        assert best > 0.999


async def test_stereo_and_mixed_carry_both_sides() -> None:
    async with rig("amigniter", "L16") as (call, controller, media):
        await start(call, controller, media, "stereo 16k")
        call.speak(np.full(16000, 1000, np.int16), 16000)
        for _ in range(10):
            call._channel.heard.add(np.full(320, 500, np.int16).tobytes())
            await asyncio.sleep(0.02)
        pairs = media.pcm.reshape(-1, 2)
        assert {len(m) for m in media.messages} == {1280}
        assert [1000, 500] in pairs.tolist()


async def test_metadata_is_the_first_text() -> None:
    async with rig("sptmru") as (call, controller, media):
        await start(call, controller, media, 'mono 16k {"call": "x y"}')
        await media.until(lambda: bool(media.texts))
        assert media.texts == ['{"call": "x y"}']


@pytest.mark.parametrize("build", BUILDS)
async def test_extra_headers_reach_the_server(build: Build) -> None:
    async with rig(build) as (call, controller, media):
        headers = json.dumps({"Authorization": "Bearer abc", "X-Number": 5})
        await controller.api(f"uuid_setvar {call.uuid} STREAM_EXTRA_HEADERS {headers}")
        await start(call, controller, media)
        await media.until(lambda: bool(media.requests))
        request = media.requests[0]
        assert request.headers["Authorization"] == "Bearer abc"
        assert "X-Number" not in request.headers
        assert "Origin" not in request.headers
        assert "Sec-WebSocket-Extensions" not in request.headers


async def test_sptmru_reconnects_at_once_and_loses_nothing() -> None:
    async with rig("sptmru") as (call, controller, media):
        await start(call, controller, media)
        await media.until(lambda: bool(media.messages))
        ramp = np.arange(1, 8001, dtype=np.int16)
        call.speak(ramp, 16000)
        await media.until(lambda: media.pcm.max() > 2000)
        await media.close_last()
        await media.until(lambda: media.pcm.max() == 8000)
        assert len(media.sockets) == 2
        lost = len(ramp) - len(np.unique(words(media)))
        assert lost <= 640, "what was on its way when the server closed"
        labels = [(await controller.event(f"mod_audio_stream::{n}")).label for n in ("disconnect",)]
        assert labels == ["mod_audio_stream::disconnect"]


@pytest.mark.parametrize("build", BUILDS)
async def test_what_is_said_before_the_connection(build: Build) -> None:
    """The sptmru build keeps it and sends it at once; the other loses it."""
    async with rig(build) as (call, controller, media):
        media.admits.clear()
        await ask(call, controller, media, "mono 16k")
        call.speak(np.full(3200, 5, np.int16), 16000)
        await until(lambda: not call.speaking_for)
        media.admits.set()
        await media.until(lambda: len(media.messages) > 5)
        assert (media.pcm == 5).sum() == (3200 if build == "sptmru" else 0)


async def test_amigniter_does_not_reconnect() -> None:
    async with rig("amigniter") as (call, controller, media):
        await start(call, controller, media)
        await media.until(lambda: bool(media.messages))
        await media.close_last()
        await controller.event("mod_audio_stream::disconnect")
        await asyncio.sleep(0.1)
        assert len(media.sockets) == 1
        command = f"uuid_audio_stream {call.uuid} start {media.url()} mono 16k"
        assert await controller.api(command) == "-ERR Operation Failed\n"
        assert await controller.api(f"uuid_audio_stream {call.uuid} stop") == "+OK Success\n"
        assert await controller.api(command) == "+OK Success\n"


async def test_start_after_an_error_works_without_stop() -> None:
    async with rig("sptmru") as (call, controller, media):
        bad = f"uuid_audio_stream {call.uuid} start {media.url('/ws/x')} mono 16k"
        assert await controller.api(bad) == "+OK Success\n"
        error = await controller.event("mod_audio_stream::error")
        assert json.loads(error.body)["message"]["http_status"] == 404
        await start(call, controller, media)


async def test_pause_loses_what_is_said_meanwhile() -> None:
    async with rig("amigniter") as (call, controller, media):
        await start(call, controller, media)
        await controller.api(f"uuid_audio_stream {call.uuid} pause")
        had = len(media.messages)
        call.speak(np.full(3200, 9, np.int16), 16000)
        await asyncio.sleep(0.22)
        assert len(media.messages) - had <= 1
        await controller.api(f"uuid_audio_stream {call.uuid} resume")
        await media.until(lambda: len(media.messages) > had + 3)
        assert not (media.pcm == 9).any()


async def test_a_hangup_closes_the_websocket() -> None:
    async with rig("sptmru") as (call, controller, media):
        await start(call, controller, media)
        call.hangup()
        await call.ended()
        await media.until(lambda: bool(media.close_codes))
        assert media.close_codes == [1000]


async def test_module_missing() -> None:
    async with rig(None) as (call, controller, _):
        answer = await controller.api(f"uuid_audio_stream {call.uuid} start ws://x/ mono 16k")
        assert answer == "-ERR uuid_audio_stream Command not found!\n"
        assert await controller.api("module_exists mod_audio_stream") == "false"


async def test_media_faults() -> None:
    for faults, text in (
        (Faults(media_refused=True), "Connection refused"),
        (Faults(media_not_found=True), "404"),
    ):
        async with rig("sptmru", faults=faults) as (call, controller, media):
            command = f"uuid_audio_stream {call.uuid} start {media.url()} mono 16k"
            assert await controller.api(command) == "+OK Success\n"
            assert text in (await controller.event("mod_audio_stream::error")).body
            assert not media.sockets


async def test_media_cut_on_demand() -> None:
    async with rig("sptmru", faults=Faults(media_cut_after=0.1)) as (call, controller, media):
        await start(call, controller, media)
        event = await controller.event("mod_audio_stream::disconnect")
        assert json.loads(event.body)["message"]["code"] == 1006
        await media.until(lambda: len(media.sockets) == 2)
        await asyncio.sleep(0.2)
        assert len(media.sockets) == 2, "once"
