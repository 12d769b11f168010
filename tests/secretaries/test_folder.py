"""The folder of secretaries: who takes which call, and what changes, breaks and mends in it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from esl_controller.secretaries import folder as module
from esl_controller.secretaries.folder import Folder, FolderError
from tests.secretaries.rig import AGENT

A, B = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"
X, Y = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"
Z = "33333333-0000-4000-8000-000000000000"

Log = list[Any]


@pytest.fixture
def log() -> Iterator[Log]:
    with capture_logs() as lines:
        yield lines


def write(path: Path, name: str, *, domain: str = "", secretary: str = "", more: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    keys = {"name": name, "domain_uuid": domain, "secretary_uuid": secretary}
    lines = [f'{key} = "{value}"' for key, value in keys.items() if value]
    path.write_text("\n".join([*lines, more]) + "\n", encoding="utf-8")
    # Two writes within one tick of the file system's clock are a matter of tests only.
    write.at += 1_000_000_000  # type: ignore[attr-defined]
    os.utime(path, ns=(write.at, write.at))  # type: ignore[attr-defined]
    return path


write.at = 10**18  # type: ignore[attr-defined]


def loaded(path: Path) -> Folder:
    folder = Folder(path, AGENT)
    folder.load()
    return folder


def test_without_a_folder_every_call_gets_the_agents_persona() -> None:
    folder = Folder(None, AGENT)
    folder.load()
    assert folder.find(A, X).voice == AGENT.voice
    assert folder.files == {}


async def test_without_a_folder_there_is_nothing_to_watch() -> None:
    await asyncio.wait_for(Folder(None, AGENT).watch(), 1)


def test_the_closest_secretary_takes_the_call(tmp_path: Path) -> None:
    write(tmp_path / "default.toml", "default")
    write(tmp_path / "one.toml", "tenant's", domain=A, secretary=X)
    write(tmp_path / "acme" / "any.toml", "anybody's", secretary=X)
    write(tmp_path / "acme" / "tenant.toml", "the tenant's default", domain=A)
    write(tmp_path / "acme" / "more.toml", "anybody's other", secretary=Z)
    write(tmp_path / ".hidden.toml", "hidden", secretary=Y)
    write(tmp_path / ".git" / "x.toml", "hidden", secretary=Y)
    write(tmp_path / "note.txt", "no secretary")
    folder = loaded(tmp_path)
    assert folder.find(A, X).name == "tenant's"
    assert folder.find(A.upper(), X.upper()).name == "tenant's"
    assert folder.find(B, X).name == "anybody's"
    assert folder.find("", X).name == "anybody's"
    assert folder.find(A, Z).name == "anybody's other"
    assert folder.find(A, Y).name == "the tenant's default"
    assert folder.find(A, "").name == "the tenant's default"
    assert folder.find(B, Y).name == folder.find("", "").name == "default"


def test_at_the_start_every_mistake_is_told(tmp_path: Path) -> None:
    one = write(tmp_path / "one.toml", "one", secretary=X)
    two = write(tmp_path / "two.toml", "two", secretary=X)
    bad = write(tmp_path / "bad.toml", "bad", secretary=Y, more="nam = 1\nvoice = 3")
    with pytest.raises(FolderError) as caught:
        loaded(tmp_path)
    assert str(caught.value).split("\n") == [
        f"{bad}:3: nam: unknown; did you mean name?",
        f"{bad}:4: voice: must be text, not 3",
        f"{two}:2: secretary_uuid: is for the same calls as {one}",
    ]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"nowhere: No such file.*\[secretaries\] folder must be"):
        loaded(tmp_path / "nowhere")


async def test_a_changed_file_is_taken_over(tmp_path: Path, log: Log) -> None:
    path = write(tmp_path / "a.toml", "old", secretary=X)
    folder = loaded(tmp_path)
    before = folder.find("", X)
    await folder.refresh()
    assert folder.find("", X) is before
    assert log == []
    write(path, "new", secretary=X)
    await folder.refresh()
    assert folder.find("", X).name == "new"
    assert before.name == "old"  # a call goes on with what it began with
    assert [line["event"] for line in log] == ["secretary loaded"]


async def test_a_broken_file_leaves_the_old_one_in_force_until_it_is_mended(
    tmp_path: Path, log: Log
) -> None:
    path = write(tmp_path / "a.toml", "old", secretary=X)
    folder = loaded(tmp_path)
    write(path, "new", secretary=X, more="[limits]\nidle_s = -1")
    await folder.refresh()
    write(tmp_path / "b.toml", "another", secretary=Y)
    await folder.refresh()
    assert folder.find("", X).name == "old"
    line, another = log
    assert another["event"] == "secretary loaded"
    assert line["event"] == "secretary not loaded"
    assert line["log_level"] == "error"
    assert line["mistakes"] == [
        f"{path}:4: [limits] idle_s: must be from 0.0 to 600.0, not -1",
    ]
    assert line["in_force"] == "the content before"
    write(path, "new", secretary=X)
    await folder.refresh()
    assert folder.find("", X).name == "new"
    assert [line["event"] for line in log[2:]] == ["secretary corrected"]


async def test_files_come_and_go(tmp_path: Path, log: Log) -> None:
    folder = loaded(tmp_path)
    path = write(tmp_path / "new" / "a.toml", "a", secretary=X)
    broken = write(tmp_path / "b.toml", "b", secretary=Y, more="x = 1")
    await folder.refresh()
    assert folder.find("", X).name == "a"
    assert folder.find("", Y).name == ""
    path.unlink()
    broken.unlink()
    await folder.refresh()
    assert folder.find("", X).name == ""
    told = sorted((line["event"], Path(line["file"]).name) for line in log)
    assert told == [
        ("secretary loaded", "a.toml"),
        ("secretary not loaded", "b.toml"),
        ("secretary removed", "a.toml"),
        ("secretary removed", "b.toml"),
    ]


async def test_of_two_files_for_the_same_calls_the_older_stays(tmp_path: Path, log: Log) -> None:
    first = write(tmp_path / "z.toml", "first", secretary=X)
    other = write(tmp_path / "b.toml", "other", secretary=Y)
    folder = loaded(tmp_path)
    second = write(tmp_path / "a.toml", "second", secretary=X)
    write(other, "other", secretary=X)
    await folder.refresh()
    assert folder.find("", X).name == "first"
    assert folder.find("", Y).name == "other"  # what it was before
    assert [line["mistakes"] for line in log] == [
        [f"{second}:2: secretary_uuid: is for the same calls as {first}"],
        [f"{other}:2: secretary_uuid: is for the same calls as {first}"],
    ]
    first.unlink()
    await folder.refresh()
    assert folder.find("", X).name == "second"
    assert [line["file"] for line in log if line["event"] == "secretary corrected"] == [str(second)]


async def test_a_broken_file_keeps_its_calls_from_others(tmp_path: Path) -> None:
    path = write(tmp_path / "z.toml", "first", secretary=X)
    folder = loaded(tmp_path)
    write(path, "first", secretary=X, more="x = 1")
    write(tmp_path / "a.toml", "second", secretary=X)
    await folder.refresh()
    assert folder.find("", X).name == "first"


async def test_two_files_may_exchange_their_calls(tmp_path: Path, log: Log) -> None:
    one = write(tmp_path / "one.toml", "one", secretary=X)
    two = write(tmp_path / "two.toml", "two", secretary=Y)
    folder = loaded(tmp_path)
    write(one, "one", secretary=Y)
    write(two, "two", secretary=X)
    await folder.refresh()
    assert (folder.find("", X).name, folder.find("", Y).name) == ("two", "one")
    assert {line["event"] for line in log} == {"secretary loaded"}


async def test_a_folder_that_is_gone_for_a_while_changes_nothing(tmp_path: Path, log: Log) -> None:
    place, away = tmp_path / "in", tmp_path / "away"
    write(place / "a.toml", "a", secretary=X)
    folder = loaded(place)
    place.rename(away)
    await folder.refresh()
    await folder.refresh()
    assert folder.find("", X).name == "a"
    away.rename(place)
    await folder.refresh()
    assert [line["event"] for line in log] == [
        "secretaries cannot be read; those before stay in force",
        "secretaries can be read again",
    ]


async def test_watching_takes_changes_over_and_the_loop_never_touches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.toml", "old", secretary=X)
    folder = loaded(tmp_path)
    threads: list[threading.Thread] = []
    taken_over = asyncio.Event()
    look, take = Folder._look, Folder._take

    def looking(self: Folder) -> module.Files:
        threads.append(threading.current_thread())
        return look(self)

    def taking(self: Folder, files: module.Files) -> None:
        take(self, files)
        taken_over.set()

    monkeypatch.setattr(Folder, "_look", looking)
    monkeypatch.setattr(Folder, "_take", taking)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    task = asyncio.create_task(folder.watch())
    write(path, "new", secretary=X)
    await asyncio.wait_for(taken_over.wait(), 5)
    assert folder.find("", X).name == "new"
    assert threading.main_thread() not in threads
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
