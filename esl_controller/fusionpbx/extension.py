"""An extension's XML: made into details, made of details, and which numbers it catches. [core]

FusionPBX sorts details by group and order, within a group the condition first, then actions, then
anti-actions (docs/design/fusionpbx.md#xml-and-details). It puts values into the XML without
escaping them, so ``details_of`` refuses those that would need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from uuid import UUID
from xml.etree import ElementTree

from esl_controller.freeswitch.hunt import (
    Takes,
    any_number,
    called,
    hunt,
    no_number,
    switch_true,
)
from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.rows import Detail, text

ORDER_STEP = 5  # as FusionPBX's page counts
_TAGS = ("condition", "regex", "action", "anti-action")


class Catch(Enum):
    """Whether calls to a number end in an extension."""

    NO = "no"
    PERHAPS = "perhaps"
    """It also asks for something other than the number."""
    YES = "yes"
    ALL = "all"
    """It asks for nothing, and catches every number."""

    @property
    def sure(self) -> bool:
        """Whether that depends on the number alone."""
        return self in (Catch.YES, Catch.ALL)


def details_of(rendered: str) -> tuple[Detail, ...]:
    """The output of ``dialplan.render`` as details, a group for each condition. Raises
    FusionError."""
    [extension] = ElementTree.fromstring(rendered).iter("extension")  # noqa: S314
    details: list[Detail] = []
    for group, condition in enumerate(extension.iter("condition")):
        rows = [("condition", condition.attrib["field"], condition.attrib["expression"])]
        rows += [(row.tag, row.attrib["application"], row.attrib["data"]) for row in condition]
        for place, (tag, kind, data) in enumerate(rows):
            if re.search(r"[&<>\"']|\$\$", kind + data):
                raise FusionError(
                    f"{data!a} may not have & < > \" ' in it: FusionPBX puts its details into"
                    " the XML as they are"
                )
            stop = condition.get("break", "") if tag == "condition" else ""
            details.append(Detail(group, ORDER_STEP * (place + 1), tag, kind, data, stop))
    return tuple(details)


def assembled(name: str, uuid: UUID, details: Iterable[Detail], *, continue_: bool = False) -> str:
    """The XML that FusionPBX makes of an extension's details when its page is saved.

    Only for what our own extension has: conditions on a field, actions and anti-actions.
    """
    lines = [f'<extension name="{name}" continue="{text(continue_)}" uuid="{uuid}">']
    group, inside = None, False
    for detail in sorted(details, key=lambda d: (d.group, _place(d.tag), d.order)):
        if not detail.enabled:
            continue
        if inside and (detail.group != group or detail.tag == "condition"):
            lines.append("\t</condition>")
            inside = False
        group = detail.group
        extra = f' break="{detail.break_}"' if detail.break_ else ""
        if detail.tag == "condition":
            lines.append(f'\t<condition field="{detail.type}" expression="{detail.data}"{extra}>')
            inside = True
        else:
            extra = f' inline="{detail.inline}"' if detail.inline else ""
            lines.append(
                f'\t\t<{detail.tag} application="{detail.type}" data="{detail.data}"{extra}/>'
            )
    return "\n".join([*lines, *(["\t</condition>"] if inside else []), "</extension>\n"])


def parsed(xml: str) -> list[ElementTree.Element]:
    """The extensions in a piece of XML, whatever surrounds them; [] if it is not XML."""
    try:
        # Expat itself limits how far entities expand.
        root = ElementTree.fromstring(f"<all>{_without_prologue(xml)}</all>")  # noqa: S314
    except ElementTree.ParseError:
        return []
    return list(root.iter("extension"))


def same(one: ElementTree.Element, other: ElementTree.Element) -> bool:
    """Whether FreeSWITCH does the same with both, however they are written."""
    return _meaning(one) == _meaning(other)


def uuid_in(extension: ElementTree.Element) -> str:
    """The uuid by which FusionPBX marks an extension; "" if it has none."""
    return extension.get("uuid", "").lower()


def is_ladder(extension: ElementTree.Element) -> bool:
    """Whether this is our extension, or a copy of it: nothing else sets the way back."""
    return any(row.get("data", "").startswith("controller_home=") for row in extension.iter())


def catches(extension: ElementTree.Element, number: str) -> Catch:
    """Whether a call to ``number`` ends in this extension. One that continues keeps no call, and
    one that does not ask for the number is none of the number's business."""
    takes, _ = hunt(extension, called(number))
    if takes is Takes.YES:
        return Catch.ALL if hunt(extension, any_number)[0] is Takes.YES else Catch.YES
    depends = takes is Takes.MAYBE and hunt(extension, no_number)[0] is Takes.NO
    return Catch.PERHAPS if depends else Catch.NO


def _place(tag: str) -> int:
    return _TAGS.index(tag) if tag in _TAGS else len(_TAGS)


def _without_prologue(xml: str) -> str:
    return re.sub(r"<\?xml[^>]*\?>|<!DOCTYPE[^>]*>", "", xml)


def _meaning(extension: ElementTree.Element) -> object:
    keys = ("field", "expression", "application", "data", "break", "inline", "regex")
    return (
        extension.get("name"),
        switch_true(extension.get("continue")),
        uuid_in(extension),
        [
            (element.tag, *(element.get(key, "") for key in keys))
            for element in extension.iter()
            if element is not extension
        ],
    )
