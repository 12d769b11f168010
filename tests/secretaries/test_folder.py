"""The folder of secretaries: who takes which call, and what changes, breaks and mends in it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from esl_controller.config.model_settings import AgentSettings
from esl_controller.secretaries import folder as module
from esl_controller.secretaries.folder import Folder, FolderError
from esl_controller.secretaries.reading import Reading, read
from esl_controller.secretaries.secretary import Secretary
from tests.lateness import LoopWatch
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


async def loaded(path: Path) -> Folder:
    folder = Folder(path, AGENT)
    await folder.load()
    return folder


async def test_without_a_folder_every_call_gets_the_agents_persona() -> None:
    folder = Folder(None, AGENT)
    await folder.load()
    assert folder.find(A, X).voice == AGENT.voice
    assert folder.files == {}


async def test_without_a_folder_there_is_nothing_to_watch() -> None:
    await asyncio.wait_for(Folder(None, AGENT).watch(), 1)


async def test_the_closest_secretary_takes_the_call(tmp_path: Path) -> None:
    write(tmp_path / "default.toml", "default")
    write(tmp_path / "one.toml", "tenant's", domain=A, secretary=X)
    write(tmp_path / "acme" / "any.toml", "anybody's", secretary=X)
    write(tmp_path / "acme" / "tenant.toml", "the tenant's default", domain=A)
    write(tmp_path / "acme" / "more.toml", "anybody's other", secretary=Z)
    write(tmp_path / ".hidden.toml", "hidden", secretary=Y)
    write(tmp_path / ".git" / "x.toml", "hidden", secretary=Y)
    write(tmp_path / "note.txt", "no secretary")
    folder = await loaded(tmp_path)
    assert folder.find(A, X).name == "tenant's"
    assert folder.find(A.upper(), X.upper()).name == "tenant's"
    assert folder.find(B, X).name == "anybody's"
    assert folder.find("", X).name == "anybody's"
    assert folder.find(A, Z).name == "anybody's other"
    assert folder.find(A, Y).name == "the tenant's default"
    assert folder.find(A, "").name == "the tenant's default"
    assert folder.find(B, Y).name == folder.find("", "").name == "default"


async def test_at_the_start_a_mistake_costs_its_own_callers_only(tmp_path: Path, log: Log) -> None:
    one = write(tmp_path / "one.toml", "one", secretary=X)
    two = write(tmp_path / "two.toml", "two", secretary=X)
    bad = write(tmp_path / "bad.toml", "bad", secretary=Y, more="nam = 1\nvoice = 3")
    write(tmp_path / "default.toml", "default")
    folder = await loaded(tmp_path)
    assert (folder.find("", X).name, folder.find("", Y).name) == ("one", "default")
    assert folder.mistakes == [
        f"{bad}:3: nam: unknown; did you mean name?",
        f"{bad}:4: voice: must be text, not 3",
        f"{two}:2: secretary_uuid: is for the same calls as {one}",
    ]
    assert [(line["event"], line["file"], line["in_force"]) for line in log] == [
        ("secretary not loaded", str(bad), "nothing"),
        ("secretary not loaded", str(two), "nothing"),
    ]


async def test_at_the_start_a_broken_file_has_its_last_good_version(
    tmp_path: Path, log: Log
) -> None:
    kept: dict[str, str] = {}

    async def last_good(files: Collection[str]) -> dict[str, str]:
        return {file: kept[file] for file in files}

    write(tmp_path / "fine.toml", "fine", secretary=X)
    path = write(tmp_path / "a.toml", "old", secretary=Y)
    before = Folder(tmp_path, AGENT, lambda file, secretary: kept.update({file: secretary.as_json}))
    await before.load()
    write(path, "new", secretary=Y, more="x = 1")
    folder = Folder(tmp_path, AGENT)
    await folder.load(last_good)
    assert folder.find("", Y) == before.find("", Y)
    assert folder.find("", X).name == "fine"
    assert [(line["event"], line["in_force"]) for line in log] == [
        ("secretary not loaded", "the content before")
    ]
    write(path, "new", secretary=Y)
    await folder.refresh()
    assert folder.find("", Y).name == "new"


@pytest.mark.parametrize("broken", [False, True])
async def test_at_the_start_who_had_the_calls_keeps_them(
    tmp_path: Path, log: Log, broken: bool
) -> None:
    kept: dict[str, str] = {}

    async def last_good(files: Collection[str]) -> dict[str, str]:
        return {file: kept[file] for file in files if file in kept}

    def keep(file: str, secretary: Secretary) -> None:
        kept[file] = secretary.as_json

    neighbour = write(tmp_path / "a.toml", "a", secretary=Y)
    path = write(tmp_path / "b.toml", "b", secretary=X)
    await Folder(tmp_path, AGENT, keep).load(last_good)
    if broken:
        write(path, "b", secretary=X, more="x = 1")
    taker = write(tmp_path / "aaa.toml", "aaa", secretary=X)
    write(neighbour, "a, too", secretary=X)
    folder = Folder(tmp_path, AGENT, keep)
    await folder.load(last_good)
    assert (folder.find("", X).name, folder.find("", Y).name) == ("b", "a")
    assert [line for line in folder.mistakes if "same calls" in line] == [
        f"{file}:2: secretary_uuid: is for the same calls as {path}" for file in (neighbour, taker)
    ]


HOSTILE = {
    "an integer of 5,000 digits": "a = " + "9" * 5000,
    "an integer of 400 digits": "a = " + "9" * 400,
    "a hexadecimal one that is as long": "a = 0x" + "f" * 5000,
    "a key of 5,000 parts": ".".join("a" * 5000) + " = 1",
    "a table of 50,000 parts": "[" + ".".join("a" * 50_000) + "]",
    "one within a list": "a = [{" + ".".join("a" * 50_000) + " = 1}]",
    "lists within each other": "a = " + "[" * 50_000,
    "long texts": 'about = """\n' + "x\n" * 24_000 + '"""',
    "a text without an end": 'about = """\n' + "x\n" * 100_000,
    "20,000 unknown keys": "".join(f"k{number} = 1\n" for number in range(20_000)),
    "5,000 unknown keys": "".join(f"k{number} = 1\n" for number in range(5_000)),
    "20,000 functions": "[tools]\nenabled = [" + '"hold", ' * 20_000 + "]",
    "too much of it": "# " + "x" * 300_000,
    "a date that does not exist": "a = 2026-02-30",
    "not text": "\udcff",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
async def test_no_file_costs_more_than_itself(
    tmp_path: Path, log: Log, hostile: str, watched_loop: LoopWatch
) -> None:
    write(tmp_path / "fine.toml", "fine", secretary=X)
    folder = await loaded(tmp_path)
    bad = write(tmp_path / "bad.toml", "bad", secretary=Y)
    bad.write_bytes(hostile.encode(errors="surrogateescape"))
    async with asyncio.timeout(20), watched_loop:
        await folder.refresh()
    assert [line["event"] for line in log] == ["secretary not loaded"]
    assert 1 <= len(log[0]["mistakes"]) <= 20
    assert folder.find("", X).name == "fine"


async def test_a_pipe_is_no_secretary_and_a_byte_order_mark_is_no_mistake(
    tmp_path: Path, log: Log
) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "mark.toml").write_text(f'secretary_uuid = "{X}"\nname = "mark"', "utf-8-sig")
    async with asyncio.timeout(5):
        folder = await loaded(tmp_path)
    assert folder.find("", X).name == "mark"
    assert folder.mistakes == [f"{tmp_path}/pipe.toml: is not a file, but a pipe or a device"]


async def test_a_folder_below_that_cannot_be_read_costs_its_own_files_only(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = write(tmp_path / "fine.toml", "fine", secretary=X)
    write(tmp_path / "tenant" / "a.toml", "tenant's", secretary=Y)
    folder = await loaded(tmp_path)
    scan, stat = os.scandir, Path.stat

    def refused(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "tenant/" in f"{self}/" and self != str(tmp_path) and "/a.toml" in f"{self}":
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, *args, **kwargs)

    def scanned(place: Any) -> Any:
        if str(place).endswith("/tenant"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scanned)
    monkeypatch.setattr(Path, "stat", refused)
    write(fine, "changed", secretary=X)
    await folder.refresh()
    assert folder.find("", X).name == "changed"
    assert folder.find("", Y).name == "tenant's"
    assert any("tenant" in mistake for mistake in folder.mistakes)


async def test_a_bug_in_reading_one_file_costs_that_file(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "fine.toml", "fine", secretary=X)
    write(tmp_path / "bad.toml", "bad", secretary=Y)

    def reading(path: Path, agent: AgentSettings) -> Reading:
        if path.stem == "bad":
            raise ZeroDivisionError
        return read(path, agent)

    monkeypatch.setattr(module, "read", reading)
    folder = await loaded(tmp_path)
    assert folder.find("", X).name == "fine"
    assert folder.mistakes == [f"{tmp_path}/bad.toml: cannot be read: ZeroDivisionError"]


async def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"nowhere: No such file.*\[secretaries\] folder must be"):
        await loaded(tmp_path / "nowhere")


async def test_a_changed_file_is_taken_over(tmp_path: Path, log: Log) -> None:
    path = write(tmp_path / "a.toml", "old", secretary=X)
    folder = await loaded(tmp_path)
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
    folder = await loaded(tmp_path)
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
    folder = await loaded(tmp_path)
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
    folder = await loaded(tmp_path)
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
    folder = await loaded(tmp_path)
    write(path, "first", secretary=X, more="x = 1")
    write(tmp_path / "a.toml", "second", secretary=X)
    await folder.refresh()
    assert folder.find("", X).name == "first"


async def test_two_files_may_exchange_their_calls(tmp_path: Path, log: Log) -> None:
    one = write(tmp_path / "one.toml", "one", secretary=X)
    two = write(tmp_path / "two.toml", "two", secretary=Y)
    folder = await loaded(tmp_path)
    write(one, "one", secretary=Y)
    write(two, "two", secretary=X)
    await folder.refresh()
    assert (folder.find("", X).name, folder.find("", Y).name) == ("two", "one")
    assert {line["event"] for line in log} == {"secretary loaded"}


async def test_a_folder_that_is_gone_for_a_while_changes_nothing(tmp_path: Path, log: Log) -> None:
    place, away = tmp_path / "in", tmp_path / "away"
    write(place / "a.toml", "a", secretary=X)
    folder = await loaded(place)
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
    folder = await loaded(tmp_path)
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
