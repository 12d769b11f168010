"""The wire of the Event Socket: what may be sent to FreeSWITCH, and how a reply is read. [core]

A command is one or more lines of text and an empty line. FreeSWITCH knows no escape for a line
break: in a value it would begin a new header, that is, a new command
(docs/design/freeswitch.md#the-outbound-socket). So a ``Command`` is made by ``line``, ``api``,
``sendmsg`` and ``sendevent`` only, and these let no control character through. What stands inside a
line has a type or a function here, too: a ``word``, a ``quoted`` path, the ``variables`` of a leg,
a ``Place`` in the dialplan. A value that does not fit raises ``UnsafeValue``. What comes from users
is checked where it comes in, so that is a mistake of ours; to a call it is a command that was
refused, and no more. tests/project/test_sending.py keeps every command on this way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NewType

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NUMBER = re.compile(r"[\w*#+.-]{1,64}", re.ASCII)
"""A number or a context that means the same in a command, in a dialplan and in a dial string."""
_QUOTES = re.compile(r"['\"\\]")
_OF_A_LEG = re.compile(r"(?:\$\{\w+\}|[^\s,'\"\\${}\[\]<>^])*", re.ASCII)

Command = NewType("Command", str)
"""A checked command, without the empty line at its end."""


class SwitchError(Exception):
    """FreeSWITCH refused a command, did not reply in time, or the connection is gone."""


class CallGone(SwitchError):
    """There is no call left to command, and we are about to be told so. That is no fault."""


class SwitchGone(CallGone):
    """The connection is gone: there is nobody left to send a command to."""


class NoSuchChannel(CallGone):
    """The channel is gone: the call is over, and its hangup is on the way to us."""


class NoSuchCommand(SwitchError):
    """FreeSWITCH does not know the command: the module that brings it is not loaded."""


class UnsafeValue(SwitchError, ValueError):
    """A value that must not be sent. It is not in the text, because it may be a secret."""


# --- sending --------------------------------------------------------------------------------------


def text(name: str, value: str) -> str:
    """``value``, if it can stand in a line. Raises UnsafeValue, which tells ``name``."""
    if not isinstance(value, str) or CONTROL.search(value):
        raise UnsafeValue(f"{name} has a line break or another control character in it")
    return value


def word(name: str, value: str) -> str:
    """``value``, if it can stand in a line as one word. Raises UnsafeValue."""
    if not text(name, value) or any(c.isspace() for c in value):
        raise UnsafeValue(f"{name} is empty or has a space in it")
    return value


def quoted(name: str, value: str) -> str:
    """``value`` as one word even if it has spaces, as FreeSWITCH splits an API command
    (``switch_separate_string``, switch_utils.c). Raises UnsafeValue."""
    if not text(name, value) or _QUOTES.search(value):
        raise UnsafeValue(f"{name} is empty or has a quotation mark or a backslash in it")
    return f"'{value}'" if " " in value else word(name, value)


def verbatim(name: str, value: str) -> str:
    """``value`` as ``uuid_setvar`` is to keep it, which takes quotes and backslashes away
    (``cleanup_separated_string``, switch_utils.c). Raises UnsafeValue."""
    return re.sub(r"(['\\])", r"\\\1", text(name, value))


def variables(values: Mapping[str, str]) -> str:
    """``{name=value,...}``: the variables of a leg, before its dial string. A value may hold
    ``${name}``, which FreeSWITCH expands. Raises UnsafeValue."""
    for name, value in values.items():
        if not _OF_A_LEG.fullmatch(text(word("variable", name), value)):
            raise UnsafeValue(f"{name} has a comma, a space, a quotation mark or a bracket in it")
    return "{" + ",".join(f"{name}={value}" for name, value in values.items()) + "}"


@dataclass(frozen=True)
class Place:
    """Where a dialplan can send a call. ``str`` gives it as ``transfer`` and ``uuid_transfer`` take
    it; inside an inline dialplan it means the same. Raises UnsafeValue."""

    number: str
    context: str

    def __post_init__(self) -> None:
        for name, value in (("number", self.number), ("context", self.context)):
            if not NUMBER.fullmatch(value):
                raise UnsafeValue(f"{name} may hold 1 to 64 letters, digits and _ * # + . - only")

    @classmethod
    def parse(cls, transfer: str) -> Place:
        """From ``NUMBER XML CONTEXT``. Raises UnsafeValue."""
        number, dialplan, context = (*transfer.split(" "), "", "", "")[:3]
        if transfer != f"{number} {dialplan} {context}" or dialplan != "XML":
            raise UnsafeValue("the place is not NUMBER XML CONTEXT")
        return cls(number, context)

    def __str__(self) -> str:
        return f"{self.number} XML {self.context}"

    @property
    def loopback(self) -> str:
        """The dial string of a leg that runs what the dialplan has for it."""
        return f"loopback/{self.number}/{self.context}/XML"


def line(command: str, *arguments: str) -> Command:
    """A command of one line, such as ``myevents``. Raises UnsafeValue."""
    words = [text("the command", command), *(text(command, each) for each in arguments)]
    return Command(" ".join(words))


def api(command: str, *arguments: str) -> Command:
    """An API command, as typed in fs_cli. Raises UnsafeValue."""
    return Command(f"api {line(command, *arguments)}")


def sendmsg(headers: Mapping[str, str], uuid: str = "") -> Command:
    """A message to the channel ``uuid``; empty: to the connection's own. Raises UnsafeValue."""
    return _with_headers(line("sendmsg", *([uuid] if uuid else [])), headers)


def sendevent(name: str, headers: Mapping[str, str]) -> Command:
    """An event of that name, for whoever listens at FreeSWITCH. Raises UnsafeValue."""
    return _with_headers(line("sendevent", name), headers)


def _with_headers(first: Command, headers: Mapping[str, str]) -> Command:
    lines = [f"{name}: {text(name, value)}" for name, value in headers.items()]
    return Command("\n".join([first, *lines]))


def unicast(switch: tuple[str, int], controller: tuple[str, int]) -> dict[str, str]:
    """The headers of ``sendmsg`` that have FreeSWITCH bind ``switch`` and exchange frames with
    ``controller``, both IP address and UDP port. Raises UnsafeValue.

    Its reply is ``+OK`` in any case; the first datagram is the proof
    (docs/design/freeswitch.md#the-proof-that-it-is-open). To be sent after the answer only: before
    there is media it aborts FreeSWITCH (docs/design/freeswitch.md#not-before-the-media). A lane
    that was closed does not open again in the same park
    (docs/design/freeswitch.md#the-lane-opens-once-per-park).
    """
    return {
        "call-command": "unicast",
        "local-ip": word("address", switch[0]),
        "local-port": str(switch[1]),
        "remote-ip": word("address", controller[0]),
        "remote-port": str(controller[1]),
        "transport": "udp",
    }


def name_of(command: Command) -> str:
    """The part of a command that a log may show: its arguments may be secrets."""
    words = command.split(None, 2)
    return " ".join(words[:2]) if words[0] == "api" else words[0]


# --- receiving ------------------------------------------------------------------------------------


def first(value: object) -> str:
    """The value of a header that may be missing (empty) or come twice (the first one counts)."""
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


def header(message: Mapping[str, Any], name: str) -> str:
    """The header ``name`` of a reply or an event; empty if there is none."""
    return first(message.get(name))


# mod_commands.c, of each command that we send; uuid_record says the second.
_CHANNEL_GONE = ("-ERR No such channel", "-ERR Cannot locate session")


def accepted(command: str, reply: str) -> str:
    """``reply``, unless it is a refusal of ``command``. Raises SwitchError, NoSuchChannel,
    NoSuchCommand."""
    if "Command not found" in reply:
        raise NoSuchCommand(f"{command}: {reply}")
    if reply.startswith(_CHANNEL_GONE):
        raise NoSuchChannel(f"{command}: {reply}")
    if reply.startswith("-ERR"):
        raise SwitchError(f"{command}: {reply}")
    return reply
