"""What is wrong with a number in FusionPBX: its row, its details, its neighbours, its cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from esl_controller.freeswitch.hunt import switch_true
from esl_controller.fusionpbx import cache, switch
from esl_controller.fusionpbx.cache import Cached
from esl_controller.fusionpbx.config import Config
from esl_controller.fusionpbx.database import PagesCache, connected
from esl_controller.fusionpbx.errors import FusionError, shown
from esl_controller.fusionpbx.extension import (
    Catch,
    catches,
    is_ladder,
    parsed,
    same,
    uuid_in,
)
from esl_controller.fusionpbx.owners import Owner
from esl_controller.fusionpbx.plan import agrees
from esl_controller.fusionpbx.rows import APP_UUID, Dialplan, Domain, uuid_of
from esl_controller.fusionpbx.switch import SendCommand


class ProblemKind(Enum):
    """The kinds of problem, in the order in which they are reported."""

    ABSENT = "absent"
    DISABLED = "disabled"
    CONTINUES = "continues"
    UNREADABLE = "unreadable"
    DISAGREE = "disagree"
    CAUGHT_EARLIER = "caught earlier"
    COPIED = "copied"
    TAKEN = "taken"
    CACHE_ELSEWHERE = "cache elsewhere"
    STALE_CACHE = "stale cache"


@dataclass(frozen=True)
class Problem:
    """What was found, why it matters, and the remedy. ``certain`` is false if it depends on the
    call."""

    kind: ProblemKind
    found: str
    why: str
    remedy: str
    certain: bool = True


@dataclass(frozen=True)
class Inspection:
    """What FusionPBX has for ``number`` in ``context``."""

    domain: Domain
    context: str
    number: str
    row: Dialplan | None
    """Our dialplan, or else the first that has the number; with its details."""
    earlier: tuple[Dialplan, ...]
    """The enabled dialplans that come before it in the context."""
    cached: Cached | None
    owners: tuple[Owner, ...] = ()
    """What else has the number in this domain."""
    copies: tuple[Dialplan, ...] = ()
    """Enabled dialplans of the context that were made in FusionPBX by copying ours."""
    pages_cache: PagesCache | None = None
    """Where FusionPBX's pages look for the cache, if that is not where the switch does."""
    forget: tuple[str, ...] = ()
    """How to drop the context from the cache by hand."""
    unread: str = ""
    """Why the cache could not be read; then ``cached`` is None."""


async def inspect(
    config: Config, domain: str, number: str, context: str = "", command: SendCommand | None = None
) -> Inspection:
    """Read what there is for a number in a domain (a name or uuid); nothing is changed.

    ``context``: by default our extension's, or else the domain's. ``command`` (of
    ``switch.commands``) is needed if the cache is memcache. Raises FusionError if the database
    cannot be read.
    """
    async with connected(config) as database:
        tenant = await database.domain(domain)
        own = (await database.stored(uuid_of(tenant.uuid, number))).dialplan
        context = context or (Dialplan.of(own, ()).context if own else tenant.name)
        there = await database.dialplans(context)
        row = chosen(there, tenant, number)
        if row is not None:
            stored = await database.stored(row.uuid)
            row = Dialplan.of(stored.dialplan or {}, stored.details) if stored.dialplan else None
        owners = tuple(await database.owners(tenant.uuid, number))
        pages = await database.pages_cache()
    before = [] if row is None else there[: [each.uuid for each in there].index(row.uuid)]
    cached, unread = None, ""
    try:
        cached = await _cached(config, context, command)
    except FusionError as error:
        unread = str(error)
    return Inspection(
        tenant,
        context,
        number,
        row,
        earlier=tuple(each for each in before if each.enabled),
        cached=cached,
        owners=owners,
        copies=tuple(each for each in there if each.enabled and _is_copy(each)),
        pages_cache=pages if pages and pages.differs_from(config) else None,
        forget=tuple(switch.by_hand(config, [context])),
        unread=unread,
    )


async def as_served(config: Config, context: str) -> str:
    """A context as FusionPBX's handler puts it together from the tables, past its cache.

    For a switch that does not tell what it serves. Raises FusionError.
    """
    async with connected(config) as database:
        rows = await database.dialplans(context)
    inside = "".join(row.xml for row in rows if row.enabled and parsed(row.xml))
    return f"<context>{inside}</context>"


def chosen(there: Sequence[Dialplan], domain: Domain, number: str) -> Dialplan | None:
    """The row that ``number`` means: ours, or else one of that number, or one that catches it."""
    own = [each for each in there if each.uuid == uuid_of(domain.uuid, number)]
    named = [each for each in there if each.number == number and not each.continue_]
    caught = [each for each in there if how_it_catches(each, number) is Catch.YES]
    return next(iter([*own, *named, *caught]), None)


def how_it_catches(row: Dialplan, number: str) -> Catch:
    """Whether calls to ``number`` end in this row's extension, if it is enabled."""
    found = [catches(extension, number) for extension in parsed(row.xml)]
    return next((each for each in (Catch.YES, Catch.ALL, Catch.PERHAPS) if each in found), Catch.NO)


def problems(of: Inspection) -> list[Problem]:
    """What is wrong with a number; empty if all is well."""
    row = of.row
    if row is None:
        there = "" if of.context == of.domain.name else f" --context {of.context}"
        free = "OTHER" if of.owners else of.number
        return [
            Problem(
                ProblemKind.ABSENT,
                f"FusionPBX has no dialplan for {of.number} in {of.context}"
                + "".join(f"; {owner} has that number" for owner in of.owners),
                "calls to it do not reach the controller",
                f"esl-controller fusionpbx install --domain {of.domain.name}{there}"
                f" --number {free} --secretary-uuid UUID",
            ),
            *_copied(of),
            *_cached_elsewhere(of),
            *_stale(of),
        ]
    taken = _taken(of) if _is_ours(row) else ()
    return [
        *(*_of_row(row), *_earlier(of), *_copied(of), *taken),
        *(*_cached_elsewhere(of), *_stale(of)),
    ]


def _of_row(row: Dialplan) -> Iterator[Problem]:
    name = shown(row.name)
    page = f"Dialplan, Dialplan Manager, {name}"
    if not row.enabled:
        yield Problem(
            ProblemKind.DISABLED,
            f"the dialplan {name} is disabled",
            "FusionPBX does not serve it",
            f"enable it: {page}",
        )
    if row.continue_ or any(switch_true(each.get("continue")) for each in parsed(row.xml)):
        yield Problem(
            ProblemKind.CONTINUES,
            f"the dialplan {name} continues",
            "actions of later extensions are added to its own",
            f"set Continue to False: {page}",
        )
    if len(parsed(row.xml)) != 1:
        yield Problem(
            ProblemKind.UNREADABLE,
            f"the XML of the dialplan {name} is not one extension that can be parsed",
            "FreeSWITCH may refuse the whole context with it",
            f"open and save it: {page}",
        )
    # FusionPBX puts more into the XML of its own rows than their details say, and would lose it if
    # they were saved from them.
    elif _is_ours(row) and agrees(row) is False:
        yield Problem(
            ProblemKind.DISAGREE,
            f"the XML of the dialplan {name} and its details say different things",
            "the XML is served, the page shows the details and overwrites the XML when saved",
            f"open and save it: {page}; or esl-controller fusionpbx install again, with the"
            " options that it was installed with",
        )


def _is_ours(row: Dialplan) -> bool:
    return row.app_uuid == APP_UUID


def _is_copy(row: Dialplan) -> bool:
    """Whether it has our ladder, and is not ours: FusionPBX gives a copy another app_uuid."""
    return not _is_ours(row) and any(map(is_ladder, parsed(row.xml)))


def _copied(of: Inspection) -> Iterator[Problem]:
    for row in of.copies:
        yield Problem(
            ProblemKind.COPIED,
            f"the dialplan {shown(row.name)} (order {row.order}, {row.uuid}) is a copy of ours",
            "it may be served in the place of ours, and install, remove and show do not know it",
            "delete it: Dialplan, Dialplan Manager; for another number install ours again, with"
            " another --number",
            certain=row in of.earlier,
        )


def _cached_elsewhere(of: Inspection) -> Iterator[Problem]:
    if of.pages_cache is not None:
        yield Problem(
            ProblemKind.CACHE_ELSEWHERE,
            f"FusionPBX's pages keep the cache in {shown(str(of.pages_cache))}, and config.conf"
            " names another place",
            "FreeSWITCH is served from config.conf's: what is changed in the pages has no effect",
            "set both alike: Advanced, Default Settings, Cache; or cache.method and cache.location"
            " in config.conf",
            certain=False,
        )


def _taken(of: Inspection) -> Iterator[Problem]:
    for owner in of.owners:
        yield Problem(
            ProblemKind.TAKEN,
            f"{owner} has {of.number}, too",
            "with our dialplan its calls come to the controller instead",
            "give it another number in FusionPBX; or remove ours, and install it with another"
            f" --number:\nesl-controller fusionpbx remove --domain {of.domain.name}"
            f" --number {of.number}",
            certain=False,
        )


def _earlier(of: Inspection) -> Iterator[Problem]:
    for row in of.earlier:
        if row in of.copies:
            continue
        caught = how_it_catches(row, of.number)
        if caught is not Catch.NO:
            yield Problem(
                ProblemKind.CAUGHT_EARLIER,
                f"the dialplan {shown(row.name)} (order {row.order}, {row.uuid}) comes before it"
                f" and {'catches' if caught.sure else 'may catch'} {of.number}",
                "a call goes to the first extension that matches",
                "install it with a smaller --order, or change the other one's number",
                certain=caught.sure,
            )


def _stale(of: Inspection) -> Iterator[Problem]:
    if of.cached is None or of.unread:
        return
    uuid = str(of.row.uuid if of.row else uuid_of(of.domain.uuid, of.number))
    held = [each for each in parsed(of.cached.text) if uuid_in(each) == uuid]
    rows = [row for row in (of.row, *of.copies) if row is not None and row.enabled]
    # A copy has the uuid of ours in its XML.
    ours = [each for row in rows for each in parsed(row.xml) if uuid_in(each) == uuid]
    right = len(held) == len(ours) and all(any(same(h, each) for each in ours) for h in held)
    changed = of.row.changed_at if of.row else None
    older = changed is not None and of.cached.at is not None and of.cached.at < changed
    if not right or older:
        since = f" of {of.cached.at:%Y-%m-%d %H:%M:%S} UTC" if of.cached.at else ""
        yield Problem(
            ProblemKind.STALE_CACHE,
            f"the cache of {of.context}{since} is "
            + ("older than the dialplan" if older else "not what the dialplan says"),
            "FusionPBX serves the cache, and reads the database only if there is none",
            "\n".join(of.forget),
        )


async def _cached(config: Config, context: str, command: SendCommand | None) -> Cached | None:
    if config.cache_method == "file":
        return cache.read_file(config, context)
    if command is None:
        raise FusionError("the cache is in memcache, and the switch cannot be reached")
    return await switch.memcached(command, context)
