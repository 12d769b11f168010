"""A dialplan of FusionPBX: a row of v_dialplans and its rows of v_dialplan_details. [core]

Rows are read and written as text, whatever the types of their columns: switches are boolean in new
installs and were text ("true", "false") in older ones, and as text both are the same
(docs/design/fusionpbx.md#its-tables).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID, uuid5

DIALPLANS = "v_dialplans"
DETAILS = "v_dialplan_details"
APP_UUID = UUID("0c5f2b4e-6a8d-5d0e-9c55-1f7a6b3e8d21")
"""Our mark in app_uuid, by which our rows are found among all others."""

Row = Mapping[str, str | None]
"""A row of the database: each column's value as text, None for NULL."""


@dataclass(frozen=True)
class StoredRows:
    """All rows with one dialplan_uuid; ``dialplan`` is None if there is none."""

    dialplan: Row | None = None
    details: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Domain:
    """A tenant."""

    uuid: UUID
    name: str


@dataclass(frozen=True)
class Detail:
    """A line of FusionPBX's page: a condition (``type``: its field) or an action (``type``: its
    application)."""

    group: int
    order: int
    tag: str
    type: str
    data: str
    break_: str = ""
    inline: str = ""
    enabled: bool = True

    @classmethod
    def of(cls, row: Row) -> Detail:
        """From a row of v_dialplan_details. To FusionPBX a row that does not say is enabled."""
        enabled = row.get("dialplan_detail_enabled")
        return cls(
            group=number(row.get("dialplan_detail_group")),
            order=number(row.get("dialplan_detail_order")),
            tag=row.get("dialplan_detail_tag") or "",
            type=row.get("dialplan_detail_type") or "",
            data=row.get("dialplan_detail_data") or "",
            break_=row.get("dialplan_detail_break") or "",
            inline=row.get("dialplan_detail_inline") or "",
            enabled=enabled is None or truth(enabled),
        )


@dataclass(frozen=True)
class Dialplan:
    """A dialplan with its details."""

    domain_uuid: UUID | None
    uuid: UUID
    app_uuid: UUID | None
    context: str
    name: str
    number: str
    order: int
    continue_: bool
    enabled: bool
    xml: str
    description: str = ""
    details: tuple[Detail, ...] = ()
    changed_at: datetime | None = None

    @classmethod
    def of(cls, row: Row, details: Sequence[Row] = ()) -> Dialplan:
        """From the database's rows."""
        return cls(
            domain_uuid=_uuid(row.get("domain_uuid")),
            uuid=UUID(row["dialplan_uuid"] or ""),
            app_uuid=_uuid(row.get("app_uuid")),
            context=row.get("dialplan_context") or "",
            name=row.get("dialplan_name") or "",
            number=row.get("dialplan_number") or "",
            order=number(row.get("dialplan_order")),
            continue_=truth(row.get("dialplan_continue")),
            enabled=truth(row.get("dialplan_enabled")),
            xml=row.get("dialplan_xml") or "",
            description=row.get("dialplan_description") or "",
            details=tuple(sorted(map(Detail.of, details), key=lambda d: (d.group, d.order))),
            changed_at=_time(row.get("update_date") or row.get("insert_date")),
        )

    def row(self) -> dict[str, str | None]:
        """Its row of v_dialplans, without the dates and users that FusionPBX adds."""
        return {
            "domain_uuid": str(self.domain_uuid),
            "dialplan_uuid": str(self.uuid),
            "app_uuid": str(self.app_uuid),
            "dialplan_context": self.context,
            "dialplan_name": self.name,
            "dialplan_number": self.number,
            # FusionPBX's pages offer it as a destination: of inbound routes, menus, buttons.
            "dialplan_destination": "true",
            "dialplan_continue": text(self.continue_),
            "dialplan_xml": self.xml,
            "dialplan_order": str(self.order),
            "dialplan_enabled": text(self.enabled),
            "dialplan_description": self.description,
        }

    def detail_rows(self) -> list[dict[str, str | None]]:
        """Its rows of v_dialplan_details."""
        return [
            {
                "domain_uuid": str(self.domain_uuid),
                "dialplan_uuid": str(self.uuid),
                "dialplan_detail_uuid": str(uuid5(self.uuid, f"{each.group}.{each.order}")),
                "dialplan_detail_tag": each.tag,
                "dialplan_detail_type": each.type,
                "dialplan_detail_data": each.data,
                "dialplan_detail_break": each.break_ or None,
                "dialplan_detail_inline": each.inline or None,
                "dialplan_detail_group": str(each.group),
                "dialplan_detail_order": str(each.order),
                "dialplan_detail_enabled": text(each.enabled),
            }
            for each in self.details
        ]


def uuid_of(domain: UUID, number: str) -> UUID:
    """The dialplan_uuid of our extension for ``number`` in a domain: always the same."""
    return uuid5(domain, f"esl-controller {number}")


def truth(value: str | None) -> bool:
    """Whether FusionPBX takes a value for true, in a boolean or a text column."""
    return (value or "").lower() in ("true", "t", "1", "yes")


def text(value: bool) -> str:
    """A switch's value, for a boolean or a text column."""
    return "true" if value else "false"


def number(value: str | None) -> int:
    """A group or an order; 0 if there is none."""
    try:
        return int(Decimal(value or "0"))
    except (InvalidOperation, ValueError, OverflowError):
        return 0


def _time(value: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _uuid(value: str | None) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None
