"""The time of one call."""

from __future__ import annotations

import asyncio
import time

import pytest

from esl_controller.session.call_clock import CallClock


async def test_a_system_clock_that_is_set_changes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, unix = CallClock(7.0), time.time()
    monkeypatch.setattr(time, "time", lambda: unix - 7200)
    await asyncio.sleep(0.01)
    assert 0 < clock.now() - unix < 5
    assert 7 < clock.age_s < 12
