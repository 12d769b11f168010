"""The dialplan extension that hands a call to this controller, tries again, and falls back.

What FreeSWITCH does with each action is in the comments that `render` writes; it was seen on
FreeSWITCH 1.10.12 (captures `controller_lost.1`, `controller_lost.2` and `invalid_application`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from textwrap import indent
from uuid import UUID

Action = tuple[str, str]
"""An application and its data."""

WAITS_MS = (0, 250, 500, 1000, 2000)
FALLBACK: tuple[Action, ...] = (
    ("playback", "tone_stream://%(250,250,480,620);loops=8"),
    ("hangup", "NORMAL_TEMPORARY_FAILURE"),
)
EXAMPLE_DOMAIN_UUID = "6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01"
EXAMPLE_SECRETARY_UUID = "c8e3b7d4-21f9-4f6e-b1a7-5e2d9c4f8a02"


class DialplanError(Exception):
    """Values that cannot stand in a dialplan; its text has one line for each."""


def render(
    number: str = "8000",
    *,
    domain_uuid: str,
    secretary_uuid: str,
    socket: str = "127.0.0.1:8022",
    fallback: Sequence[Action] = FALLBACK,
    context: str = "",
    name: str = "",
    waits_ms: Sequence[int] = WAITS_MS,
) -> str:
    """A file for FreeSWITCH's dialplan directory, explained by comments.

    `socket` is HOST:PORT, or several with | between them, which are tried in order. `waits_ms`
    are the milliseconds before each further try. With `context` the extension stands in a context
    of that name; without, the file belongs in the directory of a context. `name` is the
    extension's; empty, it is made from `number`. Raises DialplanError.
    """
    _check(number, domain_uuid, secretary_uuid, socket, fallback, context, name, waits_ms)
    dial = ("socket", f"{socket} async full")
    rows = [
        *_rows("Which tenant this is, and which persona: the controller's log names both."),
        *_rows(None, ("set", f"domain_uuid={UUID(domain_uuid)}")),
        *_rows(None, ("set", f"secretary_uuid={UUID(secretary_uuid)}")),
        *_rows(_WHY_RESUME, ("set", "socket_resume=true")),
        *_rows(_WHY_UNSET, ("unset", "hangup_after_bridge")),
        *_rows(_WHY_SOCKET, dial),
        *(_rows(_WHY_AGAIN) if waits_ms else ()),
    ]
    for wait_ms in waits_ms:
        rows += _rows(None, *([("sleep", str(wait_ms))] if wait_ms else []), dial)
    rows += _rows(_WHY_FALLBACK, *fallback)
    extension = _extension(number, name or f"voice_ai_{number}", rows)
    if context:
        extension = f'<context name="{_xml(context)}">\n{indent(extension, "  ")}</context>\n'
    # FreeSWITCH drops every line that holds one of these two tags, and what else stands on it.
    return f"<include>\n{indent(extension, '  ')}</include>\n"


_WHY_RESUME = (
    "If the connection to the controller breaks, go on with the next action below instead of"
    " hanging up: the call survives a controller that is killed or restarted."
)
_WHY_UNSET = (
    "After a bridge the call comes back to the controller; a default elsewhere in the dialplan"
    " may have set the contrary."
)
_WHY_SOCKET = (
    "Dial the controller and give it the call. async: commands do not wait for each other. full:"
    " it may use every command, uuid_audio_stream among them. The controller answers the phone."
)
_WHY_AGAIN = (
    "Further tries. A controller that does not listen costs no time, and a call that was given"
    " back is taken again at once; the waits grow so that a restart of a few seconds is outlived"
    " and the caller does not sit in silence for longer. Each try that is left over is one more"
    " lost controller that the call survives."
)
_WHY_FALLBACK = "No controller: what the caller gets instead."


def _extension(number: str, name: str, rows: Sequence[str]) -> str:
    return "\n".join(
        [
            _comment("Made by: esl-controller dialplan. Run it again rather than editing this."),
            f'<extension name="{_xml(name)}">',
            f'  <condition field="destination_number" expression="^{_xml(re.escape(number))}$">',
            *(indent(row, "    ") for row in rows),
            "  </condition>",
            "</extension>\n",
        ]
    )


def _rows(why: str | None, *actions: Action) -> Iterator[str]:
    if why:
        yield _comment(why)
    for application, data in actions:
        yield f'<action application="{_xml(application)}" data="{_xml(data)}"/>'


def _comment(text: str) -> str:
    lines, line = [], "<!--"
    for word in f"{text} -->".split():
        if len(line) + len(word) > 90:
            lines.append(line)
            line = "    "
        line += " " + word
    return "\n".join([*lines, line])


def _xml(value: str) -> str:
    return html.escape(value, quote=True)


def _check(
    number: str,
    domain_uuid: str,
    secretary_uuid: str,
    socket: str,
    fallback: Sequence[Action],
    context: str,
    name: str,
    waits_ms: Sequence[int],
) -> None:
    mistakes: list[str] = []
    texts = [("number", number), ("name", name), ("context", context)]
    for title, text in texts:
        if not re.fullmatch(r"[\w*#+.-]{0,64}", text, re.ASCII) or (title == "number" and not text):
            mistakes.append(
                f"{title}: {_shown(text)} may hold letters, digits and _ * # + . - only"
            )
    for title, text in (("domain_uuid", domain_uuid), ("secretary_uuid", secretary_uuid)):
        if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
            mistakes.append(f"{title}: {_shown(text)} is not a UUID")
    for target in socket.split("|"):
        match = re.fullmatch(r"[A-Za-z0-9._-]{1,253}:(\d{1,5})", target, re.ASCII)
        if not match or not 1 <= int(match[1]) <= 65535:
            mistakes.append(
                f"socket: {_shown(target)} is not HOST:PORT with a host name or an IPv4 address"
            )
    for wait_ms in waits_ms:
        if not 0 <= wait_ms <= 60_000:
            mistakes.append(f"waits_ms: {wait_ms} is not from 0 to 60000")
    if not fallback:
        mistakes.append("fallback: is empty, the call would end without a word")
    for action in fallback:
        mistakes += _check_action(*action)
    if mistakes:
        raise DialplanError("\n".join(mistakes))


def _check_action(application: str, data: str) -> Iterator[str]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", application):
        yield f"fallback: {_shown(application)} is not the name of an application"
    if application == "audio_stream" or application.startswith("uuid_"):
        yield (
            f"fallback: {application} is an API command and not an application: the call would"
            " end with DESTINATION_OUT_OF_ORDER"
        )
    if "$" in data:
        yield f"fallback: {_shown(data)}: FreeSWITCH would expand ${{...}}; write the value itself"
    if not data.isprintable():
        yield f"fallback: {_shown(data)} has a line break or another control character in it"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
