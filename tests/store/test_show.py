"""`calls show` and `calls recent` against a record that is being written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from esl_controller.config.settings import Settings, StoreSettings
from esl_controller.store import Store
from esl_controller.store.show import show_call, show_recent
from tests.store.samples import CALL, STARTED, UUID, WISH, turn


def settings(url: str) -> Settings:
    return Settings(store=StoreSettings(url=url))


async def shown(capsys: pytest.CaptureFixture[str], command: Callable[[], int]) -> tuple[str, str]:
    """What the command prints, and complains of; it has an event loop of its own."""
    status = await asyncio.to_thread(command)
    out, err = capsys.readouterr()
    assert status == (1 if err else 0)
    return out, err


async def test_a_call_is_shown_while_others_are_written(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for change in CALL:
        store.put(change)
    await store.flush()
    for number in range(5000):
        store.put(turn(number, "another"))
    out, _ = await shown(capsys, lambda: show_call(settings(url), UUID, as_json=False))
    assert out.startswith(f"call      {UUID}\n")
    assert WISH.text in out


async def test_json_is_the_whole_record(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for change in CALL:
        store.put(change)
    await store.flush()
    out, _ = await shown(capsys, lambda: show_call(settings(url), UUID, as_json=True))
    call = await store.call(UUID)
    assert call is not None
    assert json.loads(out) == call.as_dict()
    assert "Olá" in out
    out, _ = await shown(capsys, lambda: show_recent(settings(url), 5, as_json=True))
    [told] = json.loads(out)
    assert (told["call_uuid"], "turns" in told) == (UUID, False)


async def test_recent_calls_are_a_table(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put(STARTED)
    await store.flush()
    out, _ = await shown(capsys, lambda: show_recent(settings(url), 5, as_json=False))
    assert len(out.splitlines()) == 2


async def test_what_cannot_be_shown_is_one_line(
    store: Store, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = await shown(capsys, lambda: show_call(settings(url), UUID, as_json=True))
    assert err == f"esl-controller calls: there is no call {UUID} in the record\n"
    _, err = await shown(capsys, lambda: show_recent(settings(""), 5, as_json=True))
    assert err == "esl-controller calls: [store] url is empty: no record is kept\n"
