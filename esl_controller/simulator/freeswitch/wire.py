"""The Event Socket on the wire: commands in, replies and events out.

Commands are read as FreeSWITCH reads them: a command line, one header per line, a blank line.
A line break inside a value therefore starts a new header; nothing here repairs that.
Layouts are those of every capture (captures/*.jsonl).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_COMMAND_BYTES = 10 * 1024 * 1024
"""FreeSWITCH takes no longer command (mod_event_socket.c, ``read_packet``)."""

GOODBYE = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"

_UNSAFE = re.compile(rb'%(?![0-9A-F]{2})|[^ -~]|[ #&+:;<=>?@\[\\\]^`{|}"]')


def url_encode(value: str) -> str:
    """Encode a header value as ``switch_url_encode`` does: upper-case hex, comma and slash kept."""
    return _UNSAFE.sub(lambda m: b"%%%02X" % m[0][0], value.encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class SocketCommand:
    """One command of the peer: its first line, its headers in order, its body."""

    line: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def get(self, name: str, default: str = "") -> str:
        """The first value of a header; names are compared without regard to case."""
        wanted = name.lower()
        return next((v for n, v in self.headers if n.lower() == wanted), default)


class CommandTooLong(ValueError):
    """The peer sent more than :data:`MAX_COMMAND_BYTES` without ending its command."""


class CommandParser:
    """Cuts a byte stream into commands, however the bytes are split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[SocketCommand]:
        """Add bytes and yield each command that they complete.

        Raises :class:`CommandTooLong` when a command exceeds the limit.
        """
        self._buffer += data
        while (command := self._next()) is not None:
            yield command
        if len(self._buffer) > MAX_COMMAND_BYTES:
            raise CommandTooLong(f"command longer than {MAX_COMMAND_BYTES} bytes")

    def _next(self) -> SocketCommand | None:
        buffer = self._buffer
        start = 0
        while start < len(buffer) and buffer[start] in b"\r\n":
            start += 1
        del buffer[:start]
        end = _END.search(buffer)
        if end is None:
            return None
        lines = re.split(r"[\r\n]+", bytes(buffer[: end.start()]).decode("utf-8", "replace"))
        headers = tuple(_header(line) for line in lines[1:] if ":" in line)
        length = next((_integer(v) for n, v in headers if n.lower() == "content-length"), 0)
        if len(buffer) < end.end() + length:
            return None
        body = bytes(buffer[end.end() : end.end() + length]).decode("utf-8", "replace")
        del buffer[: end.end() + length]
        return SocketCommand(lines[0], headers, body)


_END = re.compile(rb"\r?\n\r*\n")


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.lstrip(" ")


def _integer(value: str) -> int:
    """A number as C's ``atoi`` reads it; never negative."""
    match = re.fullmatch(r"\s*\+?(\d+).*", value, re.DOTALL)
    return int(match[1]) if match else 0


@dataclass(slots=True)
class SwitchEvent:
    """An event on its way to the listeners; serialised once, for all of them."""

    name: str
    headers: list[tuple[str, str]]
    body: str = ""
    subclass: str | None = None
    _plain: bytes | None = field(default=None, repr=False)

    def get(self, name: str) -> str | None:
        """The first value of a header, or None."""
        wanted = name.lower()
        return next((v for n, v in self.headers if n.lower() == wanted), None)

    def plain(self) -> bytes:
        """The whole ``text/event-plain`` message."""
        if self._plain is None:
            payload = serialise(self.headers, self.body)
            self._plain = _framed("text/event-plain", payload)
        return self._plain

    def json(self) -> bytes:
        """The whole ``text/event-json`` message."""
        content = dict(self.headers)
        if self.body:
            content["Content-Length"] = str(len(self.body.encode()))
            content["_body"] = self.body
        payload = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        return _framed("text/event-json", payload.encode())


def serialise(headers: list[tuple[str, str]], body: str = "") -> bytes:
    """Headers with URL-encoded values (an empty one reads ``_undef_``), a blank line, the body."""
    lines = [f"{name}: {url_encode(value) or '_undef_'}\n" for name, value in headers]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}\n")
    lines.append("\n")
    return "".join(lines).encode() + body.encode()


def _framed(content_type: str, payload: bytes) -> bytes:
    head = f"Content-Length: {len(payload)}\nContent-Type: {content_type}\n\n"
    return head.encode() + payload


def reply(text: str) -> bytes:
    """A ``command/reply``."""
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()


def job_reply(job_uuid: str) -> bytes:
    """The reply to ``bgapi`` (captures/inbound.jsonl)."""
    return (
        f"Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job_uuid}\n"
        f"Job-UUID: {job_uuid}\n\n"
    ).encode()


def api_response(text: str) -> bytes:
    """An ``api/response``; an API that wrote nothing answers ``-ERR no reply``."""
    body = (text or "-ERR no reply\n").encode()
    return f"Content-Type: api/response\nContent-Length: {len(body)}\n\n".encode() + body


def linger_notice(uuid: str, channel_name: str, seconds: int) -> bytes:
    """What a lingering connection gets when its channel is down
    (captures/conversation.jsonl)."""
    return (
        "Content-Type: text/disconnect-notice\n"
        f"Controlled-Session-UUID: {uuid}\n"
        "Content-Disposition: linger\n"
        f"Channel-Name: {channel_name}\n"
        f"Linger-Time: {seconds}\n"
        "Content-Length: 0\n\n"
    ).encode()


def goodbye_notice(uuid: str | None) -> bytes:
    """The last message before FreeSWITCH closes; with the call's uuid on an outbound socket."""
    session = f"Controlled-Session-UUID: {uuid}\nContent-Disposition: disconnect\n" if uuid else ""
    return (
        f"Content-Type: text/disconnect-notice\n{session}Content-Length: {len(GOODBYE)}\n\n"
        f"{GOODBYE}"
    ).encode()
