"""The dialplan as FreeSWITCH serves it: which extension gets a number, and what it does. [core]

The hunt for it is FreeSWITCH's own (``freeswitch.hunt``). Whether a condition matches that asks for
more than the number is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from esl_controller.freeswitch.dialplan import Action
from esl_controller.freeswitch.hunt import Takes, called, hunt

_MIXES = ("mono", "mixed", "stereo")
_RATES = ("8k", "16k")


@dataclass(frozen=True)
class Extension:
    """An extension that keeps a call to the number, or may, or only adds its actions to it."""

    name: str
    actions: tuple[Action, ...]
    takes: Takes

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
    found = []
    for extension in document.iter("extension"):
        takes, actions = hunt(extension, called(number))
        if actions or takes is not Takes.NO:
            found.append(Extension(extension.get("name", ""), actions, takes))
    return found


def first(extensions: Sequence[Extension]) -> Extension | None:
    """The extension that keeps the call in any case; if there is none, the first that may."""
    sure = next((each for each in extensions if each.takes is Takes.YES), None)
    return sure or next((each for each in extensions if each.takes is Takes.MAYBE), None)


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
