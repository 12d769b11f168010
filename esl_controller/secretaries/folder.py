"""The secretaries in force: a folder of files that may change at any time.

Every ``*.toml`` file in the folder or below it is a secretary, except hidden ones. Its
``domain_uuid`` and ``secretary_uuid`` say which calls it answers. ``find`` looks in memory only;
``watch`` is the one task, and reads the disk in a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import structlog

from esl_controller.config.model_settings import AgentSettings
from esl_controller.secretaries.reading import Reading, read
from esl_controller.secretaries.secretary import Secretary

log = structlog.stdlib.get_logger(__name__)

LOOK_S = 2.0

_Stamp: TypeAlias = tuple[int, ...]


class FolderError(Exception):
    """The folder of the secretaries cannot be read; the text is one line."""


@dataclass(frozen=True)
class File:
    """A secretary's file: its latest content, and what of it is in force, which may be older.

    ``mistakes``: why the latest content is not in force, a line each.
    """

    stamp: _Stamp
    reading: Reading
    in_force: Secretary | None = None
    mistakes: tuple[str, ...] = ()


Files: TypeAlias = Mapping[Path, File]
LastGood: TypeAlias = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
"""Finds the last version without a mistake of some files, as JSON, by the file."""


class Folder:
    """All secretaries; without a ``path``, only the one that [agent] describes.

    A file with a mistake costs its own callers only: they get its last version without one, as long
    as the process knows it or ``load`` finds it, else the default. ``keep`` is told each file that
    comes into force, "" for the secretary that [agent] describes.
    """

    def __init__(
        self,
        path: Path | None,
        agent: AgentSettings,
        keep: Callable[[str, Secretary], None] = lambda file, secretary: None,
    ) -> None:
        self._path = path
        self._agent = agent
        self._keep = keep
        self._files: Files = {}
        self._secretaries: dict[tuple[str, str], Secretary] = {}
        self._unreadable = ""
        self._built_in = Secretary.from_agent(agent)

    async def load(self, last_good: LastGood | None = None) -> None:
        """Read everything, at the start; what ``last_good`` finds counts as what was in force
        before. Raises FolderError."""
        self._keep("", self._built_in)
        if self._path is None:
            return
        try:
            files = await asyncio.to_thread(self._look)
        except OSError as error:
            raise FolderError(
                f"{self._path}: {error.strerror}; [secretaries] folder must be a folder"
            ) from None
        if last_good is not None:
            files = await _as_before(files, last_good)
        _tell_mistakes({}, files)
        self._take(files)

    def find(self, domain_uuid: str, secretary_uuid: str) -> Secretary:
        """The secretary of a call; the UUIDs may be empty, and in upper or lower case.

        The first that exists: the one for both UUIDs, for the secretary's alone, for the tenant's
        alone, the default.
        """
        domain, secretary = domain_uuid.lower(), secretary_uuid.lower()
        for key in ((domain, secretary), ("", secretary), (domain, ""), ("", "")):
            if key in self._secretaries:
                return self._secretaries[key]
        return self._built_in

    @property
    def mistakes(self) -> list[str]:
        """A line for each mistake in the files."""
        return [line for file in self._files.values() for line in file.mistakes]

    @property
    def files(self) -> Files:
        """What was read last, sorted by path."""
        return self._files

    async def watch(self) -> None:
        """Put changes into force, until cancelled."""
        while self._path is not None:
            await asyncio.sleep(LOOK_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Look once, in a thread. A file with a mistake is logged, and its older content stays."""
        try:
            files = await asyncio.to_thread(self._look)
        except OSError as error:
            if str(error) != self._unreadable:
                log.error(
                    "secretaries cannot be read; those before stay in force",
                    error=str(error),
                )
            self._unreadable = str(error)
            return
        if self._unreadable:
            log.info("secretaries can be read again", folder=str(self._path))
        self._unreadable = ""
        if files != self._files:
            _tell(self._files, files)
            self._take(files)

    def _look(self) -> Files:
        """The files as they are now. Raises OSError where the folder cannot be read."""
        assert self._path is not None
        unreadable: list[Path] = []
        paths = list(files_in(self._path, unreadable.append))
        paths += [path for path in self._files if set(unreadable) & set(path.parents)]
        return read_all([*paths, *unreadable], self._agent, self._files)

    def _take(self, files: Files) -> None:
        before, self._files = self._files, files
        for path, file in files.items():
            known = before.get(path)
            if file.in_force and (known is None or known.in_force != file.in_force):
                self._keep(str(path), file.in_force)
        secretaries = [file.in_force for file in files.values() if file.in_force]
        self._secretaries = {secretary.key: secretary for secretary in secretaries}


def files_in(folder: Path, unreadable: Callable[[Path], object]) -> Iterator[Path]:
    """The secretaries' files in ``folder`` and below it.

    ``unreadable`` is told each folder below it that cannot be read. Raises OSError for ``folder``.
    """

    def fail(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise error
        unreadable(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = (name for name in folders if not name.startswith("."))
        yield from (
            Path(place, name)
            for name in names
            if name.endswith(".toml") and not name.startswith(".")
        )


def read_all(paths: Iterable[Path], agent: AgentSettings, before: Files) -> Files:
    """Read those of ``paths`` that have changed since ``before``, and decide what is in force.

    A path without a file gives a mistake.
    """
    files = {}
    for path in paths:
        known = before.get(path)
        stamp = _stamp(path)
        if known and known.stamp == stamp:
            files[path] = known
        else:
            files[path] = File(stamp, _read(path, agent), known.in_force if known else None)
    return _settled(files)


def _read(path: Path, agent: AgentSettings) -> Reading:
    try:
        return read(path, agent)
    except Exception as error:  # one file must not keep the others from being read
        log.exception("a bug in the controller: a secretary cannot be read", file=str(path))
        return Reading(path, None, (f"{path}: cannot be read: {type(error).__name__}",))


async def _as_before(files: Files, last_good: LastGood) -> Files:
    """``files`` with what was in force of them before a restart: of one with a mistake its last
    version without one; and of several for the same calls, the one that had them keeps them."""

    async def recalled(paths: Collection[Path]) -> dict[Path, File]:
        kept = await last_good([str(path) for path in paths]) if paths else {}
        in_force = {path: Secretary.from_json(kept.get(str(path), "")) for path in paths}
        return {path: replace(files[path], in_force=in_force[path]) for path in paths}

    broken = [path for path, file in files.items() if file.reading.secretary is None]
    before = {**files, **await recalled(broken)}
    whose = {path: file.reading.secretary or file.in_force for path, file in before.items()}
    claims = Counter(secretary.key for secretary in whose.values() if secretary)
    contested = [
        path
        for path, file in files.items()
        if file.reading.secretary and claims[file.reading.secretary.key] > 1
    ]
    return _settled({**before, **await recalled(contested)})


def _stamp(path: Path) -> _Stamp:
    """What tells that a file has changed."""
    try:
        status = path.stat()
    except OSError:
        return ()
    # Its ctime, too: a file may become readable, or be replaced by one with an older mtime.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _settled(files: Files) -> Files:
    """``files`` with what is in force of each, so that no two answer the same calls.

    A file whose calls stay the same takes precedence over one that is new or changes its calls.
    """
    owners: dict[tuple[str, str], Path] = {}
    settled = {}
    for path in sorted(files, key=lambda path: (not _has_same_calls(files[path]), path)):
        file = files[path]
        newest, mistakes = file.reading.secretary, file.reading.mistakes
        if newest and newest.key in owners:
            places = file.reading.places
            place = places.get("secretary_uuid") or places.get("domain_uuid") or path
            mistakes = (f"{place}: secretary_uuid: is for the same calls as {owners[newest.key]}",)
        candidates = [s for s in (newest, file.in_force) if s and s.key not in owners]
        in_force = candidates[0] if candidates else None
        if in_force:
            owners[in_force.key] = path
        settled[path] = replace(file, in_force=in_force, mistakes=mistakes)
    return dict(sorted(settled.items()))


def _has_same_calls(file: File) -> bool:
    newest = file.reading.secretary
    return file.in_force is not None and (newest is None or newest.key == file.in_force.key)


def _tell(before: Files, after: Files) -> None:
    """Log what changed, a line a file."""
    for path in before.keys() - after.keys():
        log.info("secretary removed", file=str(path))
    _tell_mistakes(before, after)
    for path, file in after.items():
        old = before.get(path)
        if not file.mistakes and (old is None or old.in_force != file.in_force or old.mistakes):
            log.info(
                "secretary corrected" if old and old.mistakes else "secretary loaded",
                file=str(path),
            )


def _tell_mistakes(before: Files, after: Files) -> None:
    """Log each file with mistakes that it did not have ``before``."""
    for path, file in after.items():
        old = before.get(path)
        if file.mistakes and (old is None or old.mistakes != file.mistakes):
            log.error(
                "secretary not loaded",
                file=str(path),
                mistakes=list(file.mistakes),
                in_force="the content before" if file.in_force else "nothing",
            )
