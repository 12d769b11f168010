"""`esl-controller calls`, `calls show` and `calls recent`, while the record is written."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from esl_controller.cli.main import main
from esl_controller.config.settings import Settings, StoreSettings
from esl_controller.store import Store, StoreError
from esl_controller.store.records import CallStarted
from esl_controller.store.show import show_call, show_recent, web_address
from tests.store.samples import CALL, STARTED, UUID, WISH, turn
from tests.store.test_current_calls import TALKS, A


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
        store.put(turn(number, f"another {number % 10}"))
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


async def test_a_controller_is_drained_on_its_own_machine(store: Store, url: str) -> None:
    here = f"{socket.gethostname()}:1"
    for name, seen_at in ((here, time.time()), ("there:1", time.time()), ("dead:1", 0.0)):
        store.put(replace(A, name=name, seen_at=seen_at))
    await store.flush()
    assert await asyncio.to_thread(web_address, settings(url), here) == A.web
    with pytest.raises(StoreError, match="there:1 has to be drained on its own machine, there"):
        await asyncio.to_thread(web_address, settings(url), "there:1")
    with pytest.raises(StoreError, match=r"no controller dead:1 is running; there are: .*there:1"):
        await asyncio.to_thread(web_address, settings(url), "dead:1")


@pytest.fixture
def calls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `esl-controller calls`: exit status, output, errors."""

    def run(url: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("ESL_CONTROLLER_STORE_URL", url)
        monkeypatch.setenv("ESL_CONTROLLER_WEB_PORT", "9")  # nobody's
        status = main(["calls", *words])
        return (status, *capsys.readouterr())

    return run


async def test_calls_lists_what_all_controllers_have(
    store: Store, url: str, calls: Callable[..., tuple[int, str, str]]
) -> None:
    now = time.time()
    store.put(CallStarted("1", "tenant", "clinic", "+5511", "8000", now - 60, owner="a"))
    store.put(CallStarted("2", "tenant", "clinic", "+5522", "8000", now - 50, owner="b"))
    for name, call in (("a", "1"), ("b", "2")):
        beat = replace(A, name=name, seen_at=now, calls=json.dumps({call: TALKS}))
        store.put(beat)
    await store.flush()
    status, out, err = await asyncio.to_thread(calls, url)
    assert (status, err) == (0, "")
    assert "2 live, 0 waiting" in out
    status, out, _ = await asyncio.to_thread(calls, url, "--json")
    told = json.loads(out)
    assert [(call["call_uuid"], call["controller"]) for call in told["calls"]] == [
        ("1", "a"),
        ("2", "b"),
    ]
    assert [each["controller"] for each in told["controllers"]] == ["a", "b"]


def test_without_a_record_one_controller_is_asked(
    calls: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, _, err = calls("sqlite:////nowhere/calls.db")
    first, second = err.splitlines()
    assert status == 1
    assert "there is no record at /nowhere/calls.db" in first
    assert "no answer from http://127.0.0.1:9" in second
    (tmp_path / "none.toml").write_text("[store]\nurl = ''\n")
    status, _, err = calls("", "--config", str(tmp_path / "none.toml"))
    assert (status, len(err.splitlines())) == (1, 1)
