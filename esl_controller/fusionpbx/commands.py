"""``esl-controller fusionpbx``: install our extension in FusionPBX, show it, remove it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from esl_controller.config.settings import FreeswitchSettings
from esl_controller.freeswitch.dialplan import FALLBACK, Action
from esl_controller.fusionpbx import backup, cache, config, plan, switch
from esl_controller.fusionpbx.backup import Backup
from esl_controller.fusionpbx.config import Config
from esl_controller.fusionpbx.database import connected
from esl_controller.fusionpbx.errors import FusionError, shown
from esl_controller.fusionpbx.extension import Catch
from esl_controller.fusionpbx.inspection import Inspection, how_it_catches, inspect, problems
from esl_controller.fusionpbx.owners import Owner
from esl_controller.fusionpbx.plan import Plan
from esl_controller.fusionpbx.rows import APP_UUID, Dialplan, StoredRows, uuid_of
from esl_controller.fusionpbx.statements import as_text
from esl_controller.fusionpbx.switch import SendCommand, Step

_RENUMBERED = (
    "it is ours, and its number was changed in FusionPBX; remove it there, or with the number that"
    " it was installed for"
)
_MARKS = {True: "ok", False: "failed", None: "unknown"}


@dataclass(frozen=True)
class Options:
    """How to do it. ``config``: FusionPBX's own file (None: the usual one). ``freeswitch``: our
    settings, used if that file names no Event Socket. ``backup`` None: a new file here."""

    freeswitch: FreeswitchSettings
    config: Path | None = None
    yes: bool = False
    dry_run: bool = False
    sql: bool = False
    backup: Path | None = None


@dataclass(frozen=True)
class Installation:
    """What to install: the arguments of ``plan.wanted``; ``beside``: even if others have the
    number; ``secretary``: its name, or "" if that is not known."""

    domain: str
    number: str
    secretary_uuid: str
    context: str = ""
    name: str = ""
    order: int = plan.DEFAULT_ORDER
    socket: str = "127.0.0.1:8022"
    fallback: Sequence[Action] = FALLBACK
    beside: bool = False
    secretary: str = ""


@dataclass(frozen=True)
class _Change:
    """A plan, a backup of the rows before it, and the row that FreeSWITCH must then serve
    (``installed``), or no longer."""

    plan: Plan
    saved: Backup
    row: Dialplan | None
    installed: bool


def install(options: Options, wanted: Installation) -> int:
    """Install the extension; 0, or 1 if the switch does not serve it.

    Raises FusionError, DialplanError.
    """
    files = config.read(options.config)
    change, others, taken, owners = asyncio.run(_installation(files, wanted))
    for other in others:
        verb = "has" if other in taken else "may catch"
        ours = f": {_RENUMBERED}" if other.app_uuid == APP_UUID else ""
        _tell(options, f"{_named(other)} {verb} {wanted.number}{ours}")
    for owner in owners:
        _tell(options, f"{owner} has {wanted.number}")
    if (taken or owners) and not wanted.beside:
        raise FusionError(
            f"{wanted.number} is taken: choose another number, or disable what has it in"
            " FusionPBX, or have both (--beside: the smaller order is served)"
        )
    return _carry_out(options, files, change)


def remove(options: Options, domain: str, number: str) -> int:
    """Remove our extension, and no other; 0, or 1 if the switch still serves it.

    Raises FusionError.
    """
    files = config.read(options.config)
    return _carry_out(options, files, asyncio.run(_removal(files, domain, number)))


def restore(options: Options, path: Path) -> int:
    """Put back what a backup holds; 0, or 1 if the switch does not serve it.

    Raises FusionError.
    """
    files = config.read(options.config)
    return _carry_out(options, files, asyncio.run(_restoration(files, path)))


def show(options: Options, domain: str, number: str) -> int:
    """Print our extensions and what is wrong with them; 1 if anything is certainly wrong.

    With a domain and a number: that one, also if another tool wrote it. Raises FusionError.
    """
    found, orphans = asyncio.run(
        _looked_at(config.read(options.config), options.freeswitch, domain, number)
    )
    for row in orphans:
        print(f"{_named(row)}: its domain {row.domain_uuid} is gone, and nothing serves it")
    if not found:
        print("no extension of ours: esl-controller fusionpbx install --help")
    wrong = False
    for each in found:
        if each.row is not None:
            state = "enabled" if each.row.enabled else "disabled"
            print(f"{shown(each.domain.name)}  {_named(each.row)}  {state}")
        for problem in problems(each):
            wrong = wrong or problem.certain
            mark = "failed" if problem.certain else "warning"
            print(f"  {mark}: {problem.found}: {problem.why}\n    {problem.remedy}")
        if each.unread:
            print(f"  unknown: {each.unread}")
    return int(wrong)


async def _installation(
    files: Config, wanted: Installation
) -> tuple[_Change, list[Dialplan], list[Dialplan], list[Owner]]:
    """The change; the other dialplans that may catch the number; those of them that do; and what
    else has it."""
    async with connected(files) as database:
        domain = await database.domain(wanted.domain)
        row = plan.wanted(
            domain,
            wanted.number,
            secretary_uuid=wanted.secretary_uuid,
            context=wanted.context,
            name=wanted.name,
            order=wanted.order,
            socket=wanted.socket,
            fallback=wanted.fallback,
            description=wanted.secretary,
        )
        before = await database.stored(row.uuid)
        now = datetime.now(UTC).isoformat()
        change = plan.to_install(row, before, database.tables, now)
        others = [
            other
            for other in await database.dialplans(row.context)
            if other.uuid != row.uuid and other.enabled and _asks(other, row)
        ]
        owners = await database.owners(domain.uuid, row.number)
    saved = Backup(files.database, domain.uuid, row.number, before)
    taken = [other for other in others if _has(other, row)]
    return _Change(change, saved, row, installed=True), others, taken, owners


async def _removal(files: Config, domain: str, number: str) -> _Change:
    async with connected(files) as database:
        tenant = await database.domain(domain)
        uuid = uuid_of(tenant.uuid, number)
        before = await database.stored(uuid)
        if before.dialplan is None:
            edited = [
                f"\n{_named(row)} has it now: {_RENUMBERED}"
                for row in await database.ours()
                if row.domain_uuid == tenant.uuid and row.number == number
            ]
            raise FusionError(
                f"{tenant.name} has no extension of ours for {number!a}{''.join(edited)}"
            )
        change = plan.to_restore(str(uuid), StoredRows(), before, database.tables)
    row = Dialplan.of(before.dialplan, before.details)
    return _Change(
        change, Backup(files.database, tenant.uuid, number, before), row, installed=False
    )


async def _restoration(files: Config, path: Path) -> _Change:
    saved = backup.read(path)
    if saved.database != files.database:
        raise FusionError(f"{path} is of the database {saved.database!a}, not {files.database!a}")
    async with connected(files) as database:
        before = await database.stored(saved.uuid)
        change = plan.to_restore(str(saved.uuid), saved.stored, before, database.tables)
    kept = Backup(saved.database, saved.domain, saved.number, before)
    after = saved.stored
    there = after if after.dialplan else before
    row = Dialplan.of(there.dialplan, there.details) if there.dialplan else None
    return _Change(change, kept, row, installed=after.dialplan is not None)


async def _looked_at(
    files: Config, freeswitch: FreeswitchSettings, domain: str, number: str
) -> tuple[list[Inspection], list[Dialplan]]:
    """The inspections that were asked for; and our extensions whose domain is gone."""
    wanted, orphans = [(domain, number, "")], []
    if not number:
        async with connected(files) as database:
            orphans = [] if domain else await database.ours(orphaned=True)
            tenant = await database.domain(domain) if domain else None
            wanted = [
                (str(row.domain_uuid), row.number, row.context)
                for row in await database.ours()
                if tenant is None or row.domain_uuid == tenant.uuid
            ]
    if files.cache_method != "file":
        with contextlib.suppress(FusionError):
            async with switch.commands(files, freeswitch) as command:
                return [await inspect(files, *each, command) for each in wanted], orphans
    return [await inspect(files, *each) for each in wanted], orphans


def _asks(other: Dialplan, row: Dialplan) -> bool:
    earlier = other.order <= row.order
    return _has(other, row) or (earlier and how_it_catches(other, row.number) is not Catch.NO)


def _has(other: Dialplan, row: Dialplan) -> bool:
    named = other.number == row.number and not other.continue_
    caught = how_it_catches(other, row.number)
    # A catch-all after ours leaves the number to ours.
    return named or caught is Catch.YES or (caught is Catch.ALL and other.order <= row.order)


def _named(row: Dialplan) -> str:
    return f"{shown(row.number)}  {shown(row.name)}  order {row.order}  {row.uuid}"


def _carry_out(options: Options, files: Config, change: _Change) -> int:
    """Show the change, ask, write a backup and the rows, update the switch; the exit status."""
    if options.sql:
        print("\n".join(_sql(files, change.plan)))
        return 0
    print(change.plan.difference() if change.plan.changes else "the rows are as they should be")
    if options.dry_run:
        return 0
    if change.plan.changes:
        _confirm(options)
        path = options.backup or _new_file(change.saved)
        backup.write(path, change.saved)
        print(f"what was there is kept: esl-controller fusionpbx --restore {path}")
        asyncio.run(_write(files, change.plan))
        print("the rows are written")
    steps = asyncio.run(_take_effect(options, files, change))
    for step in steps:
        print(f"{_MARKS[step.right]}: {step.text}")
    return int(any(step.right is False for step in steps))


def _sql(files: Config, change: Plan) -> list[str]:
    if not change.changes:
        return ["-- the rows are as they should be"]
    return [
        "BEGIN;",
        *(as_text(statement) for statement in change.statements()),
        "COMMIT;",
        "-- then, in a shell:",
        *(f"-- {line}" for line in switch.by_hand(files, change.contexts)),
    ]


def _confirm(options: Options) -> None:
    if options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():  # None: it is closed
        raise FusionError("nothing was changed: there is no terminal to ask at, say --yes")
    print("Write this? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise FusionError("nothing was changed")


def _new_file(saved: Backup) -> Path:
    return Path(f"fusionpbx-{saved.number}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.json")


async def _write(files: Config, change: Plan) -> None:
    async with connected(files) as database:
        await database.apply(change)


async def _take_effect(options: Options, files: Config, change: _Change) -> list[Step]:
    """Drop it from the cache, here and on other nodes, and check what is served."""
    contexts = change.plan.contexts
    steps = _removed_files(files, contexts) if files.cache_method == "file" else []
    try:
        async with switch.commands(files, options.freeswitch) as command:
            steps += await _told(command, files, change)
    except FusionError as error:
        remains = "; ".join(switch.by_hand(files, contexts))
        steps.append(Step(False, f"{error} What remains to be done, by hand: {remains}"))
    return steps


async def _told(command: SendCommand, files: Config, change: _Change) -> list[Step]:
    steps: list[Step] = []
    for context in change.plan.contexts:
        steps += [step async for step in switch.forget(command, files, context)]
    steps.append(await switch.reload(command))
    if change.row is not None:
        steps.append(await switch.look(command, change.row, installed=change.installed))
    return steps


def _removed_files(files: Config, contexts: Sequence[str]) -> list[Step]:
    steps = []
    for context in contexts:
        try:
            gone = cache.remove_file(files, context)
        except FusionError as error:
            steps.append(Step(False, str(error)))
            continue
        path = cache.file_of(files, context)
        steps.append(Step(True, f"{path} is removed" if gone else f"there was no {path}"))
    return steps


def _tell(options: Options, line: str) -> None:
    """Print something that does not belong to the result, which psql may read."""
    print(line, file=sys.stderr if options.sql else sys.stdout)
