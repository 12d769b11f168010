"""The model dies in mid-word, and the next of [[models]] goes on: what the caller hears of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from esl_controller.call.instructions import CONTINUE
from esl_controller.simulator.model import ModelFaults, ModelStandIn
from tests.calls.rig import words_of
from tests.live.audio import as_played, match
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import serving
from tests.live.rig import dialled, environment
from tests.live.test_restart import asked, begins, history

AGAIN_MS = 2000  # without us, at most
MODELS = '[[models]]\nname = "in reserve"\nbase_url = "{url}"\nvoice = "cedar"\n'


async def test_the_next_model_goes_on_in_mid_word(
    switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    async with ModelStandIn(pace=1) as first, ModelStandIn() as second:
        file = tmp_path / "esl-controller.toml"
        file.write_text(MODELS.format(url=second.base_url))
        store = f"sqlite:///{tmp_path}/calls.db"
        settings = environment(switch, first.base_url, STORE_URL=store)
        async with (
            serving(settings, "--config", str(file)) as controller,
            dialled(switch) as phone,
        ):
            await phone.hears_model(first, 0)
            await begins(store)
            died = time.monotonic()
            first.faults = ModelFaults(too_many=True)
            await first.sessions[0].close(1011, "going down")
            await phone.hears_model(second, 0)
            await phone.hears_silence()
            gaps = np.diff([at for at in phone.loud if at > died - 0.1])
            figures["a model died, the next one goes on: longest silence, ms"].append(
                float(gaps.max() * 1000)
            )
            assert gaps.max() * 1000 <= AGAIN_MS
            (spoken,) = second.sessions[0].record.spoken.values()
            sent = as_played(bytes(spoken.audio), spoken.format, phone.leg.rate)
            assert match(phone.heard(died), sent).correlation >= 0.95
            await phone.says("caller")
            await phone.hears_speech()
            await phone.hears_silence()
            assert not phone.leg.ended.done()
            (call,) = (await controller.get("/calls"))["calls"]
            assert call["model"] == "in reserve"
    ((who, said),) = history(second, 0)
    assert who == "assistant"
    assert words_of("greeting").startswith(said)
    assert asked(second, 0)[0] == CONTINUE, "no second greeting"
    assert len(first.sessions) == 1
