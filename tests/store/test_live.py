"""`esl-controller calls`: the calls of all controllers on one record."""

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
from esl_controller.store.live import SILENT_S, WAITING, as_dict, as_table
from esl_controller.store.records import INTERRUPTED, CallStarted, Heartbeat, Unfinished
from esl_controller.store.show import web_address

NOW = 1_790_000_000.0
CALL = Unfinished("1", "tenant", "clinic", "+5511", "8000", NOW - 60, "a", 0, "")
TALKS = {"codec": "PCMU", "state": "talking", "hearing": "stream", "speaking_by": "lane"}
A = Heartbeat("a", "http://a", "ws://a", NOW - 99, NOW - 2, "ready", json.dumps({"1": TALKS}))


def state(call: Unfinished, *controllers: Heartbeat) -> tuple[str, str]:
    """How the call is, and who has it."""
    (told,) = as_dict([call], controllers, NOW)["calls"]
    return told["state"], told["controller"]


def test_a_call_is_told_with_who_has_it_and_how_it_is() -> None:
    (told,) = as_dict([CALL], [A], NOW)["calls"]
    assert told == {
        "call_uuid": "1",
        "domain_uuid": "tenant",
        "secretary": "clinic",
        "caller": "+5511",
        "number": "8000",
        "since": NOW - 60,
        "age_s": 60.0,
        "controller": "a",
        **TALKS,
    }


def test_a_call_whose_controller_is_silent_waits() -> None:
    assert state(CALL, replace(A, seen_at=NOW - SILENT_S)) == (WAITING, "a")
    assert state(CALL) == (WAITING, "a")
    assert state(replace(CALL, started_at=None)) == (WAITING, "a")


def test_a_call_that_was_handed_back_waits_also_where_a_heartbeat_still_has_it() -> None:
    assert state(replace(CALL, outcome=INTERRUPTED), A)[0] == WAITING


def test_a_call_that_is_younger_than_the_heartbeat_is_new() -> None:
    assert state(CALL, replace(A, calls="{}")) == ("new", "a")


def test_the_latest_heartbeat_says_who_has_a_call() -> None:
    """A second controller took it up, and nobody wrote that down: it had not been answered yet."""
    later = replace(A, name="b", seen_at=NOW - 1)
    assert state(CALL, A, later) == state(CALL, later, A) == ("talking", "b")
    assert state(replace(CALL, owner="b"), replace(A, seen_at=NOW - 30), later)[1] == "b"


def test_people_get_two_tables() -> None:
    silent = replace(A, name="b", seen_at=NOW - 40, calls="{}", state="draining")
    waits = replace(CALL, call_uuid="2", owner="b", caller="\x1b[2J", started_at=None)
    text = as_table(as_dict([CALL, waits], [A, silent], NOW))
    first, second = text.split("\n\n")
    assert [line.split() for line in first.splitlines()] == [
        ["call_uuid", "age_s", "caller", "number", "codec", "state", "controller"],
        ["1", "60.0", "+5511", "8000", "PCMU", "talking", "a"],
        ["2", "-", "[2J", "8000", "-", "waiting", "for", "a", "controller", "b"],
        ["1", "live,", "1", "waiting", "for", "a", "controller"],
    ]
    assert [line.split() for line in second.splitlines()[1:]] == [
        ["a", "ready", "1", "2.0", "http://a", "ws://a"],
        ["b", "silent", "0", "40.0", "http://a", "ws://a"],
    ]
    assert "\x1b" not in text
    assert as_table(as_dict([], [], NOW)).splitlines() == [
        "0 live, 0 waiting for a controller",
        "",
        "no controller is running",
    ]


async def test_a_controller_is_drained_on_its_own_machine(store: Store, url: str) -> None:
    settings = Settings(store=StoreSettings(url=url))
    here = f"{socket.gethostname()}:1"
    for name, seen_at in ((here, time.time()), ("there:1", time.time()), ("dead:1", 0.0)):
        store.put(replace(A, name=name, seen_at=seen_at))
    await store.flush()
    assert await asyncio.to_thread(web_address, settings, here) == A.web
    with pytest.raises(StoreError, match="there:1 has to be drained on its own machine, there"):
        await asyncio.to_thread(web_address, settings, "there:1")
    with pytest.raises(StoreError, match=r"no controller dead:1 is running; there are: .*there:1"):
        await asyncio.to_thread(web_address, settings, "dead:1")


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
