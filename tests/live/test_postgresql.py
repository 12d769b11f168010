"""PostgreSQL that goes away during SIP calls: nobody hears it, and the record misses nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests import postgres
from tests.calls.test_postgresql_calls import GAP_S, Absence, away, crashed, silent
from tests.live.audio import as_played, match
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.rig import live


@pytest.mark.parametrize("how", [crashed, silent])
async def test_a_call_goes_on_and_its_record_misses_nothing(
    switch: FreeSwitch, figures: Figures, postgresql: postgres.Server, how: Absence
) -> None:
    database = postgres.Database(postgresql)
    async with live(switch, {"greeting": "caller_interrupts"}, STORE_URL=database.url) as of:
        async with of.phone() as phone:
            await phone.hears_speech()
            await phone.hears_silence()
            async with away(postgresql, how):
                began = time.monotonic()
                async with of.phone() as new:
                    await new.hears_speech()
                    heard_after_ms = (time.monotonic() - began) * 1000
                    figures["without PostgreSQL: dialled to heard, ms"].append(heard_after_ms)
                    await new.hears_silence()
                for _ in range(2):
                    said_at = await phone.says("caller_interrupts")
                    await phone.hears_speech()
                    await phone.hears_silence()
            times = np.array([at for at in phone.leg.times if at > began])
            longest_ms = float(np.diff(times).max() * 1000)
            figures["without PostgreSQL: longest time between two frames, ms"].append(longest_ms)
            assert longest_ms < 1000 * GAP_S
            answer = of.spoken(-1)
            sent = as_played(bytes(answer.audio), answer.format, phone.leg.rate)
            assert match(phone.heard(said_at), sent).correlation >= 0.95
        await of.all_over()
        longer = await of.stored(1)
        shorter = await of.stored(0)
        store = of.controller.store
        assert store is not None
        assert store.dropped == 0
        assert [line for line in of.warnings() if "record" not in line] == []
    database.drop()
    assert [turn.who for turn in longer.turns] == ["agent", *["caller", "agent"] * 2]
    assert [turn.who for turn in shorter.turns] == ["agent"]
    assert {longer.outcome, shorter.outcome} == {"completed"}
