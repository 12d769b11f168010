"""A controller that is killed while it transfers, holds, collects digits, says goodbye or asks.

Another one stands by. Whatever was under way ends as it would have, or is taken up, and is done
once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esl_controller.call.instructions import CONTINUE
from esl_controller.simulator.model import ModelStandIn, ScriptedCall
from esl_controller.store import reading
from esl_controller.store.records import StoredCall
from media.frame import samples
from media.sounds.music import loop
from tests.calls.test_killed import company
from tests.live.audio import LOUD, as_played, is_tone, match, rms
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import Serving, serving
from tests.live.rig import Phone, dialled, environment, until, until_async
from tests.live.test_ladder import no_channel
from tests.live.test_restart import asked
from tests.live.test_talking import SALES

TONE = 700  # Hz, of who answers at the destination
PLAYED = "Action playback(tone_stream://%(400,200,700)"  # each time FreeSWITCH takes the extension
IN_MID_WORD_S = 0.6
WRITTEN_S = 0.5
TURN_S = 15.0
SECOND = 50  # frames


@dataclass
class Line:
    """A call: its caller, its controller, and what everybody noted."""

    switch: FreeSwitch
    model: ModelStandIn
    controller: Serving
    phone: Phone
    folder: Path

    def results(self, session: int) -> list[Any]:
        """The results of function calls that a session of the model was told."""
        events = self.model.sessions[session].record.client_events
        items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
        return [json.loads(i["output"]) for i in items if i["type"] == "function_call_output"]

    def hears_tone(self) -> bool:
        """Whether the caller hears the destination."""
        last = samples(b"".join(self.phone.leg.frames[-5:]))
        return rms(last) > LOUD and is_tone(last, self.phone.leg.rate, TONE)

    def hears_music(self) -> bool:
        """Whether all of the last second was hold music."""
        last = samples(b"".join(self.phone.leg.frames[-SECOND:]))
        return match(np.tile(loop(self.phone.leg.rate), 2), last).correlation > 0.95

    async def goes_on(self) -> None:
        """Wait until the model is asked to speak by the controller that came after."""
        await until(lambda: len(self.model.sessions) > 1 and bool(asked(self.model, 1)), TURN_S)

    async def stored(self) -> StoredCall:
        """What is written down of the call, once it has ended."""
        async with reading(f"sqlite:///{self.folder}/calls.db") as reader, asyncio.timeout(TURN_S):
            while True:
                (recent,) = await reader.recent(2)
                stored = await reader.call(recent.call_uuid)
                if stored is not None and stored.outcome:
                    return stored
                await asyncio.sleep(0.05)


@asynccontextmanager
async def line(
    switch: FreeSwitch, folder: Path, secretary: str, call: ScriptedCall
) -> AsyncIterator[Line]:
    """The caller has heard the greeting, and the model is about to make its function call."""
    (folder / "default.toml").write_text(secretary)
    async with ModelStandIn(greeting="caller_interrupts", script=(call,)) as model:
        settings = environment(
            switch,
            model.base_url,
            ESL_SHARE="true",
            STORE_URL=f"sqlite:///{folder}/calls.db",
            SECRETARIES_FOLDER=str(folder),
        )
        async with serving(settings) as first, dialled(switch) as phone:
            await phone.hears_silence()
            async with serving(settings):
                await phone.says("caller_interrupts")
                yield Line(switch, model, first, phone, folder)
                await phone.leg.hang_up()
                await until_async(lambda: no_channel(switch))


async def test_a_transfer_that_was_being_announced(switch: FreeSwitch, tmp_path: Path) -> None:
    call = ScriptedCall(1, "transfer_call", '{"destination": "sales"}')
    async with line(switch, tmp_path, SALES, call) as of:
        before = switch.log.read_text(errors="replace").count(PLAYED)
        await until(lambda: len(asked(of.model, 0)) == 3, TURN_S)  # greeting, answer, announcement
        await of.phone.hears_speech()
        await asyncio.sleep(IN_MID_WORD_S)
        of.controller.kill()
        await of.phone.until(of.hears_tone, TURN_S)
        assert asked(of.model, 1) == [CONTINUE], "it was announced anew"
        assert (await of.stored()).outcome == "transferred"
        await stays_there(of)
        assert switch.log.read_text(errors="replace").count(PLAYED) == before + 1


async def test_a_transfer_that_has_just_taken_place(switch: FreeSwitch, tmp_path: Path) -> None:
    call = ScriptedCall(1, "transfer_call", '{"destination": "sales"}')
    async with line(switch, tmp_path, SALES, call) as of:
        before = switch.log.read_text(errors="replace").count(PLAYED)

        def transferred() -> bool:
            return switch.log.read_text(errors="replace").count(PLAYED) > before

        async with asyncio.timeout(TURN_S):
            while not await asyncio.to_thread(transferred):  # noqa: ASYNC110
                await asyncio.sleep(0)
        of.controller.kill()
        await of.phone.until(of.hears_tone, TURN_S)
        await stays_there(of)
        assert len(of.model.sessions) == 1
        assert switch.log.read_text(errors="replace").count(PLAYED) == before + 1


async def stays_there(of: Line) -> None:
    """Nobody throws the caller out of the destination."""
    await asyncio.sleep(1.5)
    await of.phone.until(of.hears_tone, 2)
    assert not of.phone.leg.ended.done()


async def test_a_hold(switch: FreeSwitch, tmp_path: Path) -> None:
    call = ScriptedCall(1, "hold", '{"seconds": 60}')
    async with line(switch, tmp_path, '[tools]\nenabled = ["hold"]', call) as of:
        await of.phone.until(of.hears_music, TURN_S)
        of.controller.kill()
        await until(lambda: len(of.model.sessions) == 2, TURN_S)
        await asyncio.sleep(1.0)
        await of.phone.until(of.hears_music, TURN_S)
        assert asked(of.model, 1) == [], "the model spoke into the hold"
        switch.api(f"uuid_send_dtmf {of.phone.leg.uuid} 5")
        await of.goes_on()
        await of.phone.hears_silence()
        assert of.results(1) == [{"hold": "over", "reason": "the caller pressed a key"}]
        assert len(asked(of.model, 1)) == 1


async def test_secret_digits(switch: FreeSwitch, tmp_path: Path) -> None:
    wanted = '{"name": "pin", "count": 8, "timeout_s": 20, "secure": true}'
    call = ScriptedCall(1, "collect_digits", wanted)
    async with line(switch, tmp_path, '[tools]\nenabled = ["collect_digits"]', call) as of:

        async def asks(session: int) -> None:
            sent = of.model.sessions[session].record.sent
            await until(lambda: sent["response.function_call_arguments.done"] == 1, TURN_S)
            await asyncio.sleep(WRITTEN_S)

        await asks(0)
        switch.api(f"uuid_send_dtmf {of.phone.leg.uuid} 7364918")
        await asyncio.sleep(3.0)  # 0.25 s each
        of.controller.kill()
        await of.goes_on()
        await of.phone.hears_silence()
        await of.phone.says("caller_interrupts")
        await asks(1)
        switch.api(f"uuid_send_dtmf {of.phone.leg.uuid} 26480157")
        await until(lambda: len(of.results(1)) == 2, TURN_S)
        interrupted, collected = of.results(1)
        assert "asked for again" in interrupted["error"]
        assert collected == {"status": "complete"}
        await of.phone.hears_silence()
        assert len(of.results(1)) == 2
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())  # noqa: ASYNC240
    assert b"7364918" not in kept
    assert b"26480157" not in kept


async def test_a_farewell(switch: FreeSwitch, tmp_path: Path) -> None:
    async with line(switch, tmp_path, "name = 'Ana'", ScriptedCall(1, "end_call")) as of:
        await until(lambda: len(asked(of.model, 0)) == 3, TURN_S)  # greeting, answer, farewell
        await of.phone.hears_speech()
        await asyncio.sleep(IN_MID_WORD_S)
        of.controller.kill()
        assert await of.phone.ended(TURN_S) == "NORMAL_CLEARING"
        assert asked(of.model, 1) == [CONTINUE]
        (last,) = of.model.sessions[1].record.spoken.values()
        said = as_played(bytes(last.audio), last.format, of.phone.leg.rate)
        assert match(of.phone.heard(), said).correlation >= 0.95
        assert (await of.stored()).outcome == "completed"


async def test_a_webhook(switch: FreeSwitch, tmp_path: Path) -> None:
    questions: list[None] = []
    async with company(lambda: questions.append(None)) as url:
        find = f'[[tools.webhooks]]\nname = "find"\ndescription = "Find it."\nurl = "{url}"'
        async with line(switch, tmp_path, find, ScriptedCall(1, "find")) as of:
            await until(lambda: bool(questions), TURN_S)
            of.controller.kill()
            await of.goes_on()
            await of.phone.hears_silence()
            (result,) = of.results(1)
            assert "whether it was done is not known" in result["error"]
            assert len(questions) == 1
