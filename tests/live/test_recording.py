"""Recordings that a real switch makes of calls: on its disk, a side each, found by their record."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from media.frame import Samples
from tests.live.audio import match, recorded, through_telephone
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.rig import live, words
from tests.live.test_talking import asks, played

STEREO = "[recording]\nstereo = true"


def sides(path: str) -> tuple[Samples, Samples, int]:
    """Left, right and the rate of a stereo file."""
    with wave.open(path) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        frames = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        return frames[::2].copy(), frames[1::2].copy(), file.getframerate()


@pytest.mark.parametrize("codec", ["PCMU", "L16"])
async def test_caller_and_secretary_have_a_side_each(
    switch: FreeSwitch, tmp_path: Path, figures: Figures, codec: str
) -> None:
    async with live(switch, secretary=STEREO, FREESWITCH_RECORDINGS=str(tmp_path)) as of:
        async with of.phone(codec) as phone:
            await asks(phone)
            said_all = phone.leg.times[-1]
            # Its last words are on the way; the stand-in says the same after another 0.8 s.
            await phone.until(lambda: phone.leg.times[-1] > said_all + 0.3, 2)
        await of.all_over()
        stored = await of.stored()
        rate = phone.leg.rate
        greeting = through_telephone(played(of, 0, rate), codec)
        assert not of.warnings()
    assert stored.recording == f"{tmp_path}/{stored.call_uuid}.wav"
    left, right, recorded_at = sides(stored.recording)
    assert recorded_at == rate
    said = through_telephone(words("caller_interrupts", rate), codec)
    assert recorded(left, said, rate) >= 0.9
    assert recorded(right, greeting, rate) >= 0.9
    caller, agent = match(left, said), match(right, greeting)
    assert caller.at > agent.at + greeting.size, "the sides keep step"
    assert match(left, greeting).correlation < 0.3
    assert match(right, said).correlation < 0.3
    figures["greeting found in a recording, %"].append(100 * recorded(right, greeting, rate))


async def test_a_folder_that_is_not_there_is_a_note(any_switch: FreeSwitch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    async with live(any_switch, secretary=STEREO, FREESWITCH_RECORDINGS=str(blocked)) as of:
        async with of.phone() as phone:
            await phone.hears_speech()
        await of.all_over()
        stored = await of.stored()
    assert stored.recording == ""
    assert any("the call is not recorded" in note.text for note in stored.notes)
