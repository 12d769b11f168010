"""``esl-controller call`` through the stand-in's Event Socket."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from esl_controller.config.loading import load
from esl_controller.config.settings import Settings
from esl_controller.diagnostics.place_call import CallFailed, CallPlan, CallTimings, place, read_wav
from tests.calls.rig import Rig, rig, words

LISTEN = ("127.0.0.1", 0)


def plan(record: Path | None = None, number: str = "8000") -> CallPlan:
    audio, rate = words()
    return CallPlan(number, "default", audio, rate, record, timeout_s=20)


def settings_for(of: Rig, **environment: str) -> Settings:
    assert of.switch.event_socket is not None
    there = {"ESL_CONTROLLER_FREESWITCH_PORT": str(of.switch.event_socket[1])}
    return load(None, {**there, **environment}).settings


async def test_a_call_is_heard_said_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rig(event_socket=LISTEN) as of:
        await place(settings_for(of), plan(tmp_path / "call.wav"))
        told = capsys.readouterr().out
        assert "answered after" in told
        assert told.count("we hear speech") == 2
        assert "ms after our words" in told
        with wave.open(str(tmp_path / "call.wav")) as file:
            assert file.getnchannels() == 2
            assert file.getnframes() / file.getframerate() > 4
        await of.no_calls()


def test_what_was_heard_in_words() -> None:
    heard = CallTimings(utterances=[(0.06, 5.72)])
    assert (heard.when(0.06), heard.told()) == ("", "0.1-5.7 s")
    heard.said_at, heard.said_for = 5.7, 4.0
    heard.utterances.append((9.9, None))
    assert heard.when(5.9) == ", while we speak"
    assert heard.when(9.9) == ", 200 ms after our words"
    assert heard.told() == "0.1-5.7 s, 9.9 s to the end"


async def test_a_number_that_is_not_there_says_so() -> None:
    async with rig(event_socket=LISTEN) as of:
        with pytest.raises(CallFailed, match=r"not answered.*default.*'9999'"):
            await place(settings_for(of), plan(number="9999"))


async def test_a_wrong_password_and_a_closed_port_say_what_to_do() -> None:
    async with rig(event_socket=LISTEN) as of:
        with pytest.raises(CallFailed, match="FREESWITCH_PASSWORD"):
            await place(settings_for(of, FREESWITCH_PASSWORD="wrong"), plan())
    nowhere = load(None, {"ESL_CONTROLLER_FREESWITCH_PORT": "9"}).settings
    with pytest.raises(CallFailed, match="Is FreeSWITCH running"):
        await place(nowhere, plan())


def test_a_file_that_is_no_wav(tmp_path: Path) -> None:
    file = tmp_path / "x.wav"
    file.write_bytes(b"RIFF")
    with pytest.raises(CallFailed, match="cannot read"):
        read_wav(file)


def test_the_rest_of_a_greeting_is_no_reply() -> None:
    heard = CallTimings(utterances=[(0.1, 1.0), (2.0, 4.0)], said_at=1.9, said_for=2.5)
    assert heard.reply is None
    heard.utterances.append((5.2, None))
    assert heard.reply == 5.2
    assert CallTimings(utterances=[(0.1, 1.0)]).reply is None, "nothing was said"


async def test_words_without_a_reply_are_a_fault() -> None:
    silence = replace(plan(), audio=np.zeros(8000, np.int16), audio_rate=8000, timeout_s=6)
    async with rig(event_socket=LISTEN) as of:
        with pytest.raises(CallFailed, match="our words had no reply"):
            await place(settings_for(of), silence)
