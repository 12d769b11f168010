"""The dialplan as FreeSWITCH serves it: which extension gets a number, and what it does. [core]

As in mod_dialplan_xml.c: the first extension that matches gets the call, unless it says
continue="true"; all conditions must match, except where ``break`` lets one fail. Whether a
condition matches that asks for more than the number is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from esl_controller.freeswitch.dialplan import Action
from esl_controller.fusionpbx.extension import fulfilled

_TAGS = {True: {"action"}, False: {"anti-action"}, None: {"action", "anti-action"}}
_MIXES = ("mono", "mixed", "stereo")
_RATES = ("8k", "16k")


@dataclass(frozen=True)
class Extension:
    """An extension that gets the number, or may. ``sure``: it gets every call to the number."""

    name: str
    actions: tuple[Action, ...]
    sure: bool
    continues: bool

    def data(self, application: str) -> list[str]:
        """The data of each action that runs ``application``."""
        return [data for name, data in self.actions if name == application]

    def streams(self) -> list[str]:
        """The data of each action that starts a stream, or tries to."""
        return [data for name, data in self.actions if "audio_stream" in name + data]

    def variables(self) -> dict[str, str]:
        """What its ``set`` and ``export`` actions set, with variables as they stand there."""
        pairs = (data.partition("=") for name in ("set", "export") for data in self.data(name))
        return {name.removeprefix("nolocal:").strip(): value.strip() for name, _, value in pairs}


def matching(context: str, number: str) -> list[Extension]:
    """The extensions of a ``<context>`` that get ``number``, or may. Raises ValueError if it is not
    XML."""
    try:
        document = ElementTree.fromstring(context)  # noqa: S314 (FreeSWITCH's own, without a DTD)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    found = (_match(extension, number) for extension in document.iter("extension"))
    return [extension for extension in found if extension is not None]


def first(extensions: Sequence[Extension]) -> Extension | None:
    """The extension that gets the call in any case; if there is none, the first that may."""
    ending = [each for each in extensions if not each.continues]
    return next((each for each in ending if each.sure), next(iter(ending), None))


def _match(extension: Element, number: str) -> Extension | None:
    actions: list[Action] = []
    sure, conditions = True, extension.findall("condition")
    for condition in conditions:
        stops = condition.get("break", "on-false")
        matches = fulfilled(condition, number)
        if matches is False and stops in ("on-false", "always"):
            return None
        sure = sure and (stops == "never" or matches is not None)
        actions += _actions(condition, _TAGS[matches])
        if matches and stops in ("on-true", "always"):
            break
    continues = extension.get("continue") == "true"
    if not conditions:
        return None
    return Extension(extension.get("name", ""), tuple(actions), sure, continues)


def _actions(condition: Element, tags: set[str]) -> Iterator[Action]:
    for element in condition:
        if element.tag in tags:
            yield element.get("application", ""), element.get("data", "")


def stream_faults(text: str) -> list[str]:
    """What is wrong with the stream that ``text`` asks mod_audio_stream for.

    ``text`` is the data of an action, or a script. Scripts put the command together from pieces, so
    this looks for words, not for a grammar.
    """
    faults = []
    if re.search(r"/ws/", text):
        faults.append("a path that begins with /ws/, where it must be /stream/{domain}/{call}")
    words = re.search(r"\b([a-z]+) +(\d+k?)(?=[\"')]|\Z)", text)
    if words and words[1] not in _MIXES:
        faults.append(f"the mix type {words[1]!r}, which is none of {', '.join(_MIXES)}")
    if words and words[2] not in _RATES:
        faults.append(f"the rate {words[2]!r}, which is written 8k or 16k")
    return faults
