"""What has to change in FusionPBX's tables: the difference, and the statements. [core]"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Table

from esl_controller.freeswitch import dialplan
from esl_controller.freeswitch.dialplan import Action
from esl_controller.freeswitch.hunt import switch_true
from esl_controller.fusionpbx.errors import FusionError, shown
from esl_controller.fusionpbx.extension import assembled, details_of, parsed, same
from esl_controller.fusionpbx.rows import (
    APP_UUID,
    DETAILS,
    DIALPLANS,
    Dialplan,
    Domain,
    Row,
    StoredRows,
    number,
    truth,
    uuid_of,
)
from esl_controller.fusionpbx.statements import Statement, delete, insert, update

DEFAULT_ORDER = 200
DESCRIPTION = "Voice AI"  # of a secretary whose name is not known
_FIELDS = ("destination_number", "caller_id_number", "caller_id_name", "context", "source")
_DATES = ("insert_date", "insert_user", "update_date", "update_user")
_NEEDED = {
    DIALPLANS: (
        *("domain_uuid", "dialplan_uuid", "dialplan_context", "dialplan_name", "dialplan_number"),
        *("dialplan_continue", "dialplan_xml", "dialplan_order", "dialplan_enabled"),
    ),
    DETAILS: (
        *("domain_uuid", "dialplan_uuid", "dialplan_detail_uuid", "dialplan_detail_tag"),
        *("dialplan_detail_type", "dialplan_detail_data", "dialplan_detail_break"),
        *("dialplan_detail_group", "dialplan_detail_order"),
    ),
}


@dataclass(frozen=True)
class Plan:
    """From the rows that are there to those that are wanted, with one dialplan_uuid."""

    uuid: str
    before: StoredRows
    after: StoredRows
    tables: Mapping[str, Table]

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after

    @property
    def contexts(self) -> tuple[str, ...]:
        """The contexts that the change affects, whose cache is then stale."""
        rows = (self.before.dialplan, self.after.dialplan)
        return tuple(sorted({row["dialplan_context"] or "" for row in rows if row} - {""}))

    def difference(self) -> str:
        """What changes, line by line: ``-`` before, ``+`` after."""
        before, after = (list(_lines(each)) for each in (self.before, self.after))
        lines = difflib.unified_diff(before, after, n=2, lineterm="")
        return "\n".join(list(lines)[2:])

    def statements(self) -> list[Statement]:
        """The statements that make the change, for one transaction."""
        before, after = self.before, self.after
        dialplans, details = self.tables[DIALPLANS], self.tables[DETAILS]
        result: list[Statement] = []
        if before.details != after.details and before.details:
            result.append(delete(details, self.uuid))
        if after.dialplan is None:
            if before.dialplan is not None:
                result.append(delete(dialplans, self.uuid))
        elif before.dialplan is None:
            result.append(insert(dialplans, after.dialplan))
        elif changed := {
            name: value
            for name, value in after.dialplan.items()
            if before.dialplan.get(name) != value
        }:
            result.append(update(dialplans, changed, self.uuid))
        if before.details != after.details:
            result += [insert(details, row) for row in after.details]
        return result


def wanted(
    domain: Domain,
    called: str,
    *,
    secretary_uuid: str,
    context: str = "",
    name: str = "",
    order: int = DEFAULT_ORDER,
    socket: str = "127.0.0.1:8022",
    fallback: Sequence[Action] = dialplan.FALLBACK,
    description: str = "",
) -> Dialplan:
    """The extension that hands over the calls to ``called``, as FusionPBX keeps it.

    ``context`` is by default the domain's. ``description`` is what its users see where they choose
    a destination. Raises FusionError, DialplanError.
    """
    context = context or domain.name
    if context == "global" or context == "public" or context.endswith(".public"):
        raise FusionError(
            f"the context {context} is not one domain's: install the number in the domain's own,"
            " and let a destination of FusionPBX (Dialplan, Destinations) lead to it"
        )
    rendered = dialplan.render(
        called,
        domain_uuid=str(domain.uuid),
        secretary_uuid=secretary_uuid,
        socket=socket,
        fallback=fallback,
        context=context,
        name=name,
    )
    row = Dialplan(
        domain_uuid=domain.uuid,
        uuid=uuid_of(domain.uuid, called),
        app_uuid=APP_UUID,
        context=context,
        name=name or f"voice_ai_{called}",
        number=called,
        order=order,
        continue_=False,
        enabled=True,
        xml="",
        description=description or DESCRIPTION,
        details=details_of(rendered),
    )
    return replace(row, xml=assembled(row.name, row.uuid, row.details))


def to_install(row: Dialplan, before: StoredRows, tables: Mapping[str, Table], now: str) -> Plan:
    """The change after which ``row`` is there. What means the same already is left as it is.

    ``now`` is ISO 8601. Raises FusionError if the tables are not FusionPBX's.
    """
    _check(tables)
    ours = _known(tables[DIALPLANS], row.row())
    present = before.dialplan
    details: tuple[Row, ...] = before.details
    same_details = Dialplan.of(ours, before.details).details == row.details
    if not same_details:
        details = tuple(
            _dated(_known(tables[DETAILS], detail), tables[DETAILS], "insert_date", now)
            for detail in row.detail_rows()
        )
    after: Row
    if present is None:
        after = _dated(ours, tables[DIALPLANS], "insert_date", now)
    elif same_details and _agree(present, ours):
        after = present
    else:
        after = _dated({**present, **ours}, tables[DIALPLANS], "update_date", now)
    return Plan(str(row.uuid), before, StoredRows(after, details), tables)


def to_restore(
    uuid: str, saved: StoredRows, before: StoredRows, tables: Mapping[str, Table]
) -> Plan:
    """The change after which the ``saved`` rows are there, also if those are none. Raises
    FusionError."""
    for name, rows in ((DIALPLANS, [saved.dialplan or {}]), (DETAILS, saved.details)):
        if unknown := {column for row in rows for column in row} - set(tables[name].columns.keys()):
            raise FusionError(
                f"{name} has no column {min(unknown)!a}: the backup is from another FusionPBX"
            )
    return Plan(uuid, before, saved, tables)


def agrees(row: Dialplan) -> bool | None:
    """Whether the XML that is served says the same as the details that the page shows.

    None if that is unknown: without details there is nothing to compare, and for conditions of time
    and alternatives we do not know how FusionPBX would put the XML together.
    """
    ordinary = all(
        each.tag in ("action", "anti-action")
        or (each.tag == "condition" and (each.type.startswith("${") or each.type in _FIELDS))
        for each in row.details
    )
    if not row.details or not ordinary:
        return None
    served = parsed(row.xml)
    if len(served) != 1:
        return False
    # ``continue`` is not among the details, it has a column of its own.
    continues = switch_true(served[0].get("continue"))
    built = parsed(assembled(row.name, row.uuid, row.details, continue_=continues))
    return len(built) == 1 and same(served[0], built[0])


def _check(tables: Mapping[str, Table]) -> None:
    for name, needed in _NEEDED.items():
        for column in needed:
            if column not in tables[name].columns:
                raise FusionError(f"the table {name} has no column {column}: not FusionPBX's?")


def _known(table: Table, row: Row) -> dict[str, str | None]:
    return {name: value for name, value in row.items() if name in table.columns}


def _dated(row: Row, table: Table, column: str, now: str) -> dict[str, str | None]:
    return {**row, **({column: now} if column in table.columns else {})}


def _agree(present: Row, ours: Row) -> bool:
    return all(_same(name, present.get(name), value) for name, value in ours.items())


def _same(name: str, one: str | None, other: str | None) -> bool:
    if name == "dialplan_order":
        return one is not None and number(one) == number(other)
    if name in ("dialplan_enabled", "dialplan_continue", "dialplan_destination"):
        return one is not None and truth(one) == truth(other)
    if name == "dialplan_xml":
        written, ours = parsed(one or ""), parsed(other or "")
        return len(written) == len(ours) == 1 and same(written[0], ours[0])
    return (one or "") == (other or "")


def _lines(stored: StoredRows) -> Iterator[str]:
    """The rows as lines, for people to compare."""
    if stored.dialplan is None:
        return
    for name, value in stored.dialplan.items():
        if value is not None and name not in ("dialplan_xml", *_DATES):
            yield f"{name}: {shown(value)}"
    row = Dialplan.of(stored.dialplan, stored.details)
    yield from map(shown, row.xml.expandtabs(2).splitlines())
    count = len(stored.details)
    verdict = agrees(row)
    if verdict is not False:
        yield f"{DETAILS}: {count} rows" + (" that say the same" if verdict else "")
        return
    yield f"{DETAILS}: {count} rows that say something else:"
    for each in row.details:
        off = "" if each.enabled else " (disabled)"
        yield shown(f"  {each.group} {each.order} {each.tag} {each.type} {each.data}{off}")
