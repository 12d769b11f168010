"""The wire of the Event Socket: what may be sent to FreeSWITCH, and how a reply is read. [core]

A command is one or more lines of text and an empty line. FreeSWITCH knows no escape for a line
break: in a value it would begin a new header, that is, a new command
(docs/design/freeswitch.md#the-outbound-socket). So a ``Command`` is made by ``line``, ``api`` and
``sendmsg`` only, and these let no control character through. ``UnsafeValue`` is a mistake of ours:
what comes from users is checked where it comes in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NewType

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Command = NewType("Command", str)
"""A checked command, without the empty line at its end."""


class SwitchError(Exception):
    """FreeSWITCH refused a command, did not reply in time, or the connection is gone."""


class SwitchGone(SwitchError):
    """The connection is gone: there is nobody left to send a command to."""


class NoSuchChannel(SwitchError):
    """The channel is gone: the call is over, and its hangup is on the way to us."""


class NoSuchCommand(SwitchError):
    """FreeSWITCH does not know the command: the module that brings it is not loaded."""


class UnsafeValue(ValueError):
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


def line(command: str) -> Command:
    """A command of one line, such as ``myevents``. Raises UnsafeValue."""
    return Command(text("the command", command))


def api(command: str, *arguments: str) -> Command:
    """An API command, as typed in fs_cli. Raises UnsafeValue."""
    return line(" ".join(["api", command, *(text(command, each) for each in arguments)]))


def sendmsg(headers: Mapping[str, str], uuid: str = "") -> Command:
    """A message to the channel ``uuid``; empty: to the connection's own. Raises UnsafeValue."""
    lines = [f"{name}: {text(name, value)}" for name, value in headers.items()]
    return Command("\n".join([line(f"sendmsg {uuid}".rstrip()), *lines]))


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
