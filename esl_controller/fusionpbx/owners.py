"""What a number may already be in FusionPBX besides a dialplan: an extension, a mailbox, and so on.

FusionPBX's own dialplans come to an extension last (order 890 and more), so ours would take its
number without a word (docs/design/fusionpbx.md#what-a-number-may-already-be).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from esl_controller.fusionpbx.errors import shown
from esl_controller.fusionpbx.rows import Row, truth


@dataclass(frozen=True)
class Kind:
    """A table of things that have numbers: the columns of the number, of a name, and the one that
    says whether it is enabled ("": none)."""

    what: str
    table: str
    numbers: tuple[str, ...]
    name: str
    enabled: str = ""


KINDS = (
    Kind(
        *("extension", "v_extensions", ("extension", "number_alias")),
        *("effective_caller_id_name", "enabled"),
    ),
    Kind("mailbox", "v_voicemails", ("voicemail_id",), "voicemail_id", "voicemail_enabled"),
    Kind(
        *("ring group", "v_ring_groups", ("ring_group_extension",)),
        *("ring_group_name", "ring_group_enabled"),
    ),
    Kind("queue", "v_call_center_queues", ("queue_extension",), "queue_name"),
    Kind("FIFO queue", "v_fifo", ("fifo_extension",), "fifo_name", "fifo_enabled"),
    Kind("IVR menu", "v_ivr_menus", ("ivr_menu_extension",), "ivr_menu_name", "ivr_menu_enabled"),
    Kind(
        *("conference", "v_conferences", ("conference_extension",)),
        *("conference_name", "conference_enabled"),
    ),
    Kind(
        *("conference center", "v_conference_centers", ("conference_center_extension",)),
        *("conference_center_name", "conference_center_enabled"),
    ),
    Kind(
        *("call flow", "v_call_flows", ("call_flow_extension", "call_flow_feature_code")),
        *("call_flow_name", "call_flow_enabled"),
    ),
    Kind("fax", "v_fax", ("fax_extension", "fax_destination_number"), "fax_name"),
)


@dataclass(frozen=True)
class Owner:
    """Something that has the number already."""

    what: str
    name: str

    def __str__(self) -> str:
        return f"the {self.what} {shown(self.name)}"


def owner(kind: Kind, row: Row) -> Owner | None:
    """The owner that a row of ``kind``'s table is; None if it is disabled."""
    enabled = row.get(kind.enabled)
    if kind.enabled and enabled is not None and not truth(enabled):
        return None
    named = row.get(kind.name) or next((row[each] for each in kind.numbers if row.get(each)), "")
    return Owner(kind.what, named or "")


def columns(kind: Kind, there: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The columns of its numbers, and all that ``owner`` reads, as far as this FusionPBX has
    them; none if it has no such table."""
    numbers = [name for name in kind.numbers if name in there]
    wanted = dict.fromkeys((*numbers, kind.name, kind.enabled))
    return numbers, [name for name in wanted if name in there]
