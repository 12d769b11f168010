"""Callers who are connected to somebody else, and come back."""

from __future__ import annotations

import asyncio
import time
import wave
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from esl_controller.simulator.model import ModelStandIn, ScriptedCall
from media.frame import Samples
from tests.live.audio import as_played, gaps
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import serving
from tests.live.rig import Live, Phone, dialled, environment, live, until, until_async
from tests.live.test_ladder import add_extension
from tests.live.test_restart import asked

DESK_HZ, RINGING_HZ = 700, 425
PAUSES_MS = 100
MACHINE = "a mailbox or an announcement answered (USER_NOT_REGISTERED)"

# As FusionPBX dials its users: what it sets ends the channel, whatever becomes of the bridge.
EXTENSIONS = """\
<include>
  <extension name="users">
    <condition field="destination_number" expression="^72(0\\d)$">
      <action application="set" data="hangup_after_bridge=true"/>
      <action application="set" data="continue_on_fail=true"/>
      <action application="bridge" data="sofia/caller/73$1@127.0.0.1:PORT"/>
      <action application="hangup" data="${originate_disposition}"/>
    </condition>
  </extension>
  <extension name="talks">
    <condition field="destination_number" expression="^7301$">
      <action application="answer"/>
      <action application="playback" data="tone_stream://%(4000,0,700)"/>
      <action application="hangup"/>
    </condition>
  </extension>
  <extension name="is_busy">
    <condition field="destination_number" expression="^7302$">
      <action application="hangup" data="USER_BUSY"/>
    </condition>
  </extension>
  <extension name="does_not_answer">
    <condition field="destination_number" expression="^7303$">
      <action application="ring_ready"/>
      <action application="sleep" data="60000"/>
    </condition>
  </extension>
  <extension name="has_a_mailbox">
    <condition field="destination_number" expression="^7304$">
      <action application="set" data="continue_on_fail=true"/>
      <action application="bridge" data="error/user_not_registered"/>
      <action application="answer"/>
      <action application="playback" data="tone_stream://%(1000,0,700)"/>
      <action application="hangup"/>
    </condition>
  </extension>
</include>
"""
STOOD_STILL_S = 3.0  # shorter than a command of ours waits
SCRIPT = (ScriptedCall(1, "transfer_call", '{"destination": "Desk"}'),)


@pytest.fixture(autouse=True)
def users(switch: FreeSwitch) -> None:
    """The switch knows whom to dial."""
    file = switch.directory / "conf" / "dialplan" / "3_users.xml"
    file.write_text(EXTENSIONS.replace("PORT", str(switch.sip_port)))
    switch.api("reloadxml")


def secretary(number: int, come_back: str = "true") -> str:
    return f"""
language = "en"
[[destinations]]
name = "Desk"
number = "{number}"
timeout_s = 5
come_back = {come_back}
"""


def loud_at(heard: Samples, rate: int, hertz: int) -> float:
    """The seconds in which a tone was heard."""
    size = rate // 10
    frames = heard[: heard.size // size * size].reshape(-1, size).astype(float)
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))
    tone = power[:, round(hertz / 10) - 1 : round(hertz / 10) + 2].sum(axis=1)
    return float(((tone > 0.5 * power.sum(axis=1)) & (tone > 1e5)).sum()) / 10


async def asks_for_the_desk(phone: Phone) -> float:
    """Be greeted, and ask for it; when that was."""
    await phone.hears_speech()
    await phone.hears_silence()
    return await phone.says("caller")


async def hears_the_secretary_again(of: Live, phone: Phone) -> str:
    """Wait for it, and compare it with what was sent; what the model was to say."""
    await until(lambda: len(of.model.sessions) == 2 and bool(of.record(1).spoken), 20)
    back = time.monotonic()
    await phone.hears_speech()
    await phone.hears_silence()
    spoken = of.spoken(0, 1)
    sent = as_played(bytes(spoken.audio), spoken.format, phone.leg.rate)
    # All of it; a pause is what the caller's jitter buffer adds where the machine is late.
    assert sum(gaps(phone.heard(back - 0.5), sent, phone.leg.rate)) <= PAUSES_MS
    return asked(of.model, 1)[0]


async def test_who_has_talked_to_somebody_hears_the_secretary_again(
    switch: FreeSwitch,
) -> None:
    async with live(switch, {"script": SCRIPT}, secretary(7201)) as of:
        async with of.phone() as phone:
            since = await asks_for_the_desk(phone)
            assert "connected to Desk and is back" in await hears_the_secretary_again(of, phone)
            assert 3.5 <= loud_at(phone.heard(since), phone.leg.rate, DESK_HZ) <= 4.5
        await of.all_over()
        stored = await of.stored()
    assert stored.outcome == "completed"
    assert [note.text.partition(",")[0] for note in stored.notes] == [
        "the caller was transferred to Desk",
        "the caller came back from Desk",
    ]


@pytest.mark.parametrize(("number", "why"), [(7202, "the line is busy"), (7203, "nobody answered")])
async def test_who_has_reached_nobody_is_told_so(switch: FreeSwitch, number: int, why: str) -> None:
    async with live(switch, {"script": SCRIPT}, secretary(number)) as of, of.phone() as phone:
        since = await asks_for_the_desk(phone)
        assert why in await hears_the_secretary_again(of, phone)
        ringing = loud_at(phone.heard(since), phone.leg.rate, RINGING_HZ)
        assert ringing >= (0.5 if number == 7203 else 0.0)


@pytest.mark.parametrize(
    ("number", "cause", "outcome"),
    [
        (7201, "NORMAL_CLEARING", "transferred"),
        (7304, "NORMAL_CLEARING", "transferred"),
        (7202, "USER_BUSY", "not reached"),
        (7999, "NO_ROUTE_DESTINATION", "not reached"),
    ],
)
async def test_the_record_says_whether_a_caller_who_is_not_to_come_back_reached_anybody(
    any_switch: FreeSwitch, number: int, cause: str, outcome: str
) -> None:
    async with live(any_switch, {"script": SCRIPT}, secretary(number, "false")) as of:
        async with of.phone() as phone:
            await asks_for_the_desk(phone)
            assert await phone.ended(20) == cause
        await of.all_over()
        await until(lambda: not of.controller.calls._connections)
        stored = await of.stored()
    assert stored.outcome == outcome
    assert [tool.name for tool in stored.tools] == ["transfer_call"]
    assert (MACHINE in stored.notes[-1].text) == (number == 7304)


@pytest.mark.parametrize("come_back", ['"unreached"', "true"])
async def test_a_mailbox_that_answers_in_the_place_of_somebody_is_told(
    any_switch: FreeSwitch, come_back: str
) -> None:
    async with live(any_switch, {"script": SCRIPT}, secretary(7304, come_back)) as of:
        async with of.phone() as phone:
            await asks_for_the_desk(phone)
            if come_back == "true":
                assert "a mailbox or an announcement" in await hears_the_secretary_again(of, phone)
            else:
                assert await phone.ended(20) == "NORMAL_CLEARING"
        await of.all_over()
        await until(lambda: not of.controller.calls._connections)
        stored = await of.stored()
    assert MACHINE in stored.notes[-1].text
    assert MACHINE in stored.tools[0].output


@pytest.mark.parametrize(("number", "back"), [(7201, False), (7999, True), (7202, True)])
async def test_by_default_only_who_reached_nobody_comes_back(
    any_switch: FreeSwitch, number: int, back: bool
) -> None:
    async with live(any_switch, {"script": SCRIPT}, secretary(number, '"unreached"')) as of:
        async with of.phone() as phone:
            since = await asks_for_the_desk(phone)
            if back:
                assert "without having spoken to Desk" in await hears_the_secretary_again(of, phone)
            else:
                assert await phone.ended(20) == "NORMAL_CLEARING"
                assert 3.5 <= loud_at(phone.heard(since), phone.leg.rate, DESK_HZ) <= 4.5
        await of.all_over()
        await until(lambda: not of.controller.calls._connections)
        stored = await of.stored()
    assert stored.outcome == ("completed" if back else "transferred")


async def test_a_recording_stops_while_the_caller_is_away_and_goes_on(
    any_switch: FreeSwitch, tmp_path: Path
) -> None:
    folder = tmp_path / "all calls"
    folder.mkdir()
    recorded = secretary(7201) + "[recording]\nstereo = true\n"
    places = {"FREESWITCH_RECORDINGS": str(folder)}
    async with live(any_switch, {"script": SCRIPT}, recorded, **places) as of:
        async with of.phone() as phone:
            since = await asks_for_the_desk(phone)
            await phone.hears_model(of.model, 1, 25)
            await phone.hears_silence()
            lasted = phone.leg.times[-1] - phone.leg.times[0]
            assert loud_at(phone.heard(since), phone.leg.rate, DESK_HZ) >= 3.5
        await of.all_over()
        stored = await of.stored()
    assert stored.recording == f"{folder}/{stored.call_uuid}.wav"
    with wave.open(stored.recording) as file:
        rate, frames = file.getframerate(), np.frombuffer(file.readframes(10**9), np.int16)
    for side in (frames[::2].copy(), frames[1::2].copy()):
        assert loud_at(side, rate, DESK_HZ) <= 0.3, "the third party was recorded"
    assert abs(lasted - frames.size / 2 / rate - 4) < 2, "it did not go on"


async def test_a_switch_that_stood_still_before_a_transfer(any_switch: FreeSwitch) -> None:
    """It has seconds of our audio before it, and closes the lane only after that."""
    slow = {"script": SCRIPT, "think_ms": int(STOOD_STILL_S * 1000)}
    async with live(any_switch, slow, secretary(7201, "false")) as of:
        async with of.phone() as phone:
            since = await asks_for_the_desk(phone)
            await until(lambda: of.record().turns == 1)
            with any_switch.frozen():
                await asyncio.sleep(STOOD_STILL_S)
            assert await phone.ended(20) == "NORMAL_CLEARING"
            # The caller's leg is one of the same switch: what it is late by, the hangup takes.
            tone_s = loud_at(phone.heard(since), phone.leg.rate, DESK_HZ)
            assert 4 - STOOD_STILL_S <= tone_s <= 4.5
        await of.all_over()
        assert (await of.stored()).outcome == "transferred"


async def test_a_caller_who_hangs_up_meanwhile_leaves_no_leg_behind(switch: FreeSwitch) -> None:
    async with live(switch, {"script": SCRIPT}, secretary(7201)) as of:
        async with of.phone() as phone:
            await asks_for_the_desk(phone)
            await until_async(lambda: legs(switch, 6), 15)
        await of.all_over()
        assert len(of.model.sessions) == 1
        assert (await of.stored()).outcome == "transferred"


@pytest.mark.parametrize("started", ["before the return", "after the return"])
async def test_a_controller_that_is_killed_while_the_caller_is_away(
    switch: FreeSwitch, tmp_path: Path, started: str
) -> None:
    (tmp_path / "default.toml").write_text(secretary(7201))
    async with ModelStandIn(script=SCRIPT) as model:
        settings = environment(
            switch,
            model.base_url,
            STORE_URL=f"sqlite:///{tmp_path}/calls.db",
            SECRETARIES_FOLDER=str(tmp_path),
        )
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(serving(settings))
            phone = await stack.enter_async_context(dialled(switch))
            await asks_for_the_desk(phone)
            await until_async(lambda: legs(switch, 6), 15)
            first.kill()
            await first.process.wait()
            if started == "after the return":
                await until_async(lambda: legs(switch, 2), 15)
            await stack.enter_async_context(serving(settings))
            await until(lambda: len(model.sessions) == 2 and bool(asked(model, 1)), 30)
            await phone.hears_speech()
            await phone.hears_silence()
            assert not phone.leg.ended.done()
    assert "connected to Desk and is back" in asked(model, 1)[0]
    assert len(asked(model, 1)) == 1


@pytest.mark.parametrize("after_transfer", [False, True])
async def test_without_a_controller_a_recording_goes_on_only_where_it_is_to(
    switch: FreeSwitch, tmp_path: Path, after_transfer: bool
) -> None:
    """The extension's own last actions send the caller to somebody."""
    folder = tmp_path / "all calls"
    folder.mkdir()
    recording = f"[recording]\nstereo = true\nafter_transfer = {str(after_transfer).lower()}\n"
    (tmp_path / "default.toml").write_text(recording)
    socket = f"127.0.0.1:{switch.controller_port}"
    to_the_desk = (("transfer", "7201"),)
    add_extension(switch, "8010", socket, [500], fallback=to_the_desk)
    async with ModelStandIn() as model:
        settings = environment(
            switch,
            model.base_url,
            STORE_URL=f"sqlite:///{tmp_path}/calls.db",
            SECRETARIES_FOLDER=str(tmp_path),
            FREESWITCH_RECORDINGS=str(folder),
        )
        async with serving(settings) as only, dialled(switch, number="8010") as phone:
            await phone.hears_speech()
            since = time.monotonic()
            only.kill()
            await phone.ended(20)
    assert loud_at(phone.heard(since), phone.leg.rate, DESK_HZ) >= 3.5
    (recorded,) = folder.iterdir()
    with wave.open(str(recorded)) as file:
        rate, frames = file.getframerate(), np.frombuffer(file.readframes(10**9), np.int16)
    heard = max(loud_at(side.copy(), rate, DESK_HZ) for side in (frames[::2], frames[1::2]))
    assert heard >= 3.5 if after_transfer else heard <= 0.1


async def legs(switch: FreeSwitch, count: int) -> bool:
    """Whether the switch has so many channels."""
    return await asyncio.to_thread(switch.channels) == count
