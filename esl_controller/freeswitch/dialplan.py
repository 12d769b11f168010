"""The dialplan extension that hands a call to a controller, tries again, and falls back. [core]

The extension is a ladder: a list of tries to reach a controller, with growing waits between them.
After each try stands a `transfer` back to the extension itself. Its destination is a variable that
is empty, and so does nothing, until a controller has taken the call
(`SwitchConnection.confirm_taken`). So the ladder begins anew for each controller that is lost, and
a call outlives any number of them. While no controller can be reached, the switch only walks down
the list. A loop of transfers would look the dialplan up for each try, and each would add a leg to
the call's record. All tries but the first stand in one action (`_folded`), which keeps the
extension small enough for FusionPBX's page.

The comments that `render` writes say what FreeSWITCH does with each action. Sources: measured on
1.10.12 (tests/live/test_ladder.py, captures/controller_lost.*.jsonl,
captures/invalid_application.jsonl), and its code (docs/design/freeswitch.md#the-ladder):

- switch_ivr.c, `switch_ivr_session_transfer`: each transfer counts `max_session_transfers` down, or
  `max_forwards` (which comes with a SIP call) if that is not set; the call ends at 0.
- mod_dptools.c, `transfer_function`: without data nothing happens.
- switch_channel.c: `endpoint_disposition` becomes ANSWER with the answer, EARLY MEDIA before it.
- switch_ivr.c, `switch_ivr_sleep`: a call without media sleeps as well; one with media is read
  meanwhile, so mod_audio_stream goes on.
- mod_event_socket.c, `socket_function`: each connection takes memory that is freed at the end of
  the call (measured: 1.6 MB, so a hundred lost controllers make 160 MB) and, with its lane and
  stream, six open files. A refused connection takes none.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import indent
from uuid import UUID

from esl_controller.call.hops import NO_HOPS, Hops
from esl_controller.freeswitch.wire import NUMBER, Place, variables

Action = tuple[str, str]
"""An application and its data."""

WAITS_MS = (250, 250, 500, *[500] * 4, *[1000] * 7, *[2000] * 5, *[5000] * 11)
"""75 s in all, enough for a restart of 60 s; short at first, because a controller that was killed
is back within a second."""
SILENT_MS = 1000
"""An answered caller waits this long in silence before tones begin."""
INLINE = 126
"""Actions in one line; FreeSWITCH takes 128 (`inline_dialplan_hunt`, mod_dptools.c)."""
TONE_MS = 120
TONE_HZ = 425
TONE_DB = -24
HOPS = "controller_hops"
"""The variable in which a channel carries its `Hops`."""
UNTIL_TAKEN_S = 2
"""Seconds after which a call that a line of ours hands to a controller is sent home, unless one has
taken it; that takes 20 ms."""
INSTEAD = "controller_instead"
"""The variable in which a channel carries its `instead`, see `Channel`."""
UNRECORD = "controller_unrecord"
"""The variable with what `uuid_record` needs to stop our recording where no controller is left."""
STOPPED = "controller_stopped"
"""The variable in which a channel carries what came of it, see `Channel.unrecorded`."""
_STOP_RECORDING = ("set", f"{STOPPED}=${{uuid_record(${{{UNRECORD}}})}}")
_ADDRESS = r"[A-Za-z0-9._-]{1,253}:\d{1,5}"
SOCKET = re.compile(rf"{_ADDRESS}(\|{_ADDRESS}){{0,15}} async full", re.ASCII)
"""The data of a `socket` action that can stand in an inline dialplan."""
RINGING = "%(1000,4000,425)"  # what an answered caller hears while another number rings
FALLBACK: tuple[Action, ...] = (
    ("playback", "tone_stream://%(250,250,480,620);loops=8"),
    ("hangup", "NORMAL_TEMPORARY_FAILURE"),
)
EXAMPLE_DOMAIN_UUID = "6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01"
EXAMPLE_SECRETARY_UUID = "c8e3b7d4-21f9-4f6e-b1a7-5e2d9c4f8a02"


class DialplanError(Exception):
    """Values that cannot stand in a dialplan; the text has a line for each."""


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

    `socket` is HOST:PORT, or several with | between them, which are tried in order. `waits_ms` are
    the milliseconds before each further try; `fallback` are the actions after the last one. With
    `context` the file is a whole context of that name; without, it belongs in the directory of a
    context. `name` is the extension's; if empty, it is made from `number`. Raises DialplanError.
    """
    _check(number, domain_uuid, secretary_uuid, socket, fallback, context, name, waits_ms)
    home = f"{number} XML {context or '${context}'}"
    called = f'field="destination_number" expression="^{_xml(re.escape(number))}$"'
    rows = [
        _condition(
            called,
            _rows("Which tenant this is, and which secretary: the controller's log names both."),
            _rows(None, ("set", f"domain_uuid={UUID(domain_uuid)}")),
            _rows(None, ("set", f"secretary_uuid={UUID(secretary_uuid)}")),
            _rows(_WHY_RESUME, ("set", "socket_resume=true")),
            _rows(_WHY_UNSET, ("unset", "hangup_after_bridge")),
            _rows(_WHY_HOME, ("set", f"controller_home={home}")),
            _rows(_WHY_TRANSFERS, ("set", "max_session_transfers=70")),
            _rows(_WHY_NO_BUFFER),
        ),
        _comment(_WHY_LOST),
        _condition(
            'field="${controller_again}" expression="." break="never"',
            _rows(None, ("set", "controller_lost_at=${strmicroepoch()}")),
            _rows(_WHY_ANEW, ("unset", "controller_again")),
        ),
        _comment(_WHY_TWO_LISTS),
        _condition(
            'field="${endpoint_disposition}" expression="^ANSWER$|^EARLY MEDIA$" break="never"',
            _tries(socket, waits_ms, answered=True),
            _as_anti_actions(_tries(socket, waits_ms, answered=False)),
        ),
        _comment(_WHY_FALLBACK),
        _condition(called, _rows(_WHY_STOP, _STOP_RECORDING), _rows(None, *fallback)),
    ]
    extension = _extension(name or f"voice_ai_{number}", rows)
    if context:
        extension = f'<context name="{_xml(context)}">\n{indent(extension, "  ")}</context>\n'
    # FreeSWITCH drops each line that holds one of these two tags, so nothing else may be on it.
    return f"<include>\n{indent(extension, '  ')}</include>\n"


@dataclass(frozen=True)
class Way:
    """How a caller is bridged to somebody and comes back. `to`: where; `home`: our own extension;
    `timeout_s`: how long it may ring; `returns`: how often the caller will have come back then;
    `hops`: how often the caller was transferred; `only_unreached`: not after a conversation."""

    to: Place
    home: Place
    timeout_s: int
    returns: int
    hops: Hops = NO_HOPS
    only_unreached: bool = False


def bridge_and_return(way: Way) -> str:
    """An extension in one line (dialplan `inline`): it bridges the caller to `way.to`, and then
    transfers to `way.home`. It needs no controller.

    The destination's own dialplan runs in the far leg of a loopback call: what it does to its
    channel (`hangup_after_bridge`, a hangup because nobody answers) cannot end the caller's. The
    loopback must stay in between, or the caller would be moved out of this line.

    The channel keeps `returns` as `controller_returns` and the time as `controller_left_at`. What
    the leg inherits, it hands on to the legs that it makes (`export_vars`).
    """
    leg = {
        "loopback_bowout": "false",
        "ignore_early_media": "true",  # a tone or an announcement is not an answer
        "originate_timeout": str(way.timeout_s),
        HOPS: str(way.hops.of_a_leg),
        "export_vars": HOPS,
        "domain_uuid": "${domain_uuid}",
        "domain_name": "${domain_name}",  # FusionPBX's extensions look up users in it
    }
    actions = (
        f"set:controller_returns={way.returns}",
        "set:controller_left_at=${strmicroepoch()}",
        f"set:hangup_after_bridge={'true' if way.only_unreached else 'false'}",
        "set:continue_on_fail=true",
        f"unset:{INSTEAD}",
        f"bridge:{variables(leg)}{way.to.loopback}",
        _send_home_unless_taken(way.home),
        f"transfer:{way.home}",
    )
    return "m:^:" + "^".join(actions)


def park_again(socket: str, home: str, parks: int, *, resumes: bool) -> str:
    """An extension in one line (dialplan `inline`) that hands the call to the same controllers
    again: `socket` is the data of the action that did it before, as `SOCKET` matches it. If they
    are lost, it goes on at `home` (a `Place`; empty: nowhere).

    The channel keeps `parks` as `controller_parks`. What it knew of an earlier loss is over.
    `resumes`: the dialplan is to go on where a connection breaks.
    """
    actions = [
        *([_send_home_unless_taken(home)] if home else []),
        f"set:controller_parks={parks}",
        "unset:controller_lost_at",
        *(["set:socket_resume=true"] if resumes else []),
        f"socket:{socket}",
        *([f"transfer:{home}"] if home else []),
    ]
    return "m:^:" + "^".join(actions)


def until_taken(uuid: str) -> str:
    """The group of the task that sends a call home which a line of ours has handed to a controller,
    unless one takes it. An older connection is still open then, and if both break together, the
    channel may stay where nothing happens (docs/design/freeswitch.md#a-transfer-inline)."""
    return f"{uuid}.until_taken"


def _send_home_unless_taken(home: Place | str) -> str:
    """The action that schedules that task. `&`: in a thread of its own, because a transfer may wait
    for the channel."""
    group, transfer = until_taken("${uuid}"), f"uuid_transfer ${{uuid}} {home}&"
    return f"set:controller_task=${{sched_api(+{UNTIL_TAKEN_S} {group} {transfer})}}"


_WHY_RESUME = (
    "If the connection to the controller breaks, go on with the next action below instead of"
    " hanging up: the call survives a controller that is killed or restarted."
)
_WHY_UNSET = (
    "After a bridge the call has to come back to the controller; an earlier extension may have set"
    " this variable, which would hang up instead."
)
_WHY_HOME = (
    "The way back to this extension. A controller that takes the call copies it to"
    " controller_again, and from then on the transfers below lead here."
)
_WHY_TRANSFERS = (
    "FreeSWITCH counts this down with each transfer and hangs up at 0. It is set again each time we"
    " come here, so any number of controllers can be lost. (Without it FreeSWITCH would count down"
    " the call's SIP Max-Forwards, which protects against routing loops.)"
)
_WHY_NO_BUFFER = (
    "FreeSWITCH gives the caller's leg no jitter buffer: a packet that comes late is a hole in what"
    " the model hears. Where callers come over a poor network, set jitterbuffer_msec=60:200:20"
    " here: the holes are filled, and the model hears the caller 60 ms later."
)
_WHY_LOST = (
    "If the call is here because a controller was lost, tell the next one since when the caller has"
    " been waiting (microseconds of Unix time)."
)
_WHY_ANEW = "From here on the transfers do nothing again, until a controller takes the call."
_WHY_TWO_LISTS = (
    "The tries. The first list is for a caller who was answered already, the second (anti-action)"
    " for one who was not, because it is the controller that answers. They wait differently."
)
_WHY_SOCKET = (
    "Dial the controller and give it the call. async: commands do not wait for each other. full:"
    " all commands are allowed, also uuid_audio_stream."
)
_WHY_TRANSFER = (
    "We come here if the controller was not reached or was lost. If it had taken the call, this"
    " transfer begins anew at the top. If not, controller_again is empty, and a transfer without"
    " data does nothing: the list goes on."
)
_WHY_WAIT = (
    "Further tries: a wait and the same two actions, again and again, in one line, so that the"
    r" extension has few actions (\s is a space; \$ is expanded when its action runs). They are"
    " close together at first. A try at a closed port takes no time. The first second is silent: a"
    " controller that is restarted at once is back by then. From then on a soft short tone in each"
    " wait tells the caller that the line is not dead. The longest wait is 5 s: that long after a"
    " controller is back, the call is taken."
)
_WHY_RING = "The caller's phone rings until somebody can answer it. (180, no early media.)"
_WHY_STOP = "Stop our recording (no other, and none where the secretary's file has it go on)."
_WHY_FALLBACK = "No controller could be reached: what the caller gets instead."


def _extension(name: str, rows: Sequence[str]) -> str:
    return "\n".join(
        [
            _comment("Made by: esl-controller dialplan. Run it again rather than editing this."),
            f'<extension name="{_xml(name)}">',
            *(indent(row, "  ") for row in rows),
            "</extension>\n",
        ]
    )


def _condition(test: str, *rows: Iterable[str]) -> str:
    inside = [indent(row, "  ") for some in rows for row in some]
    return "\n".join([f"<condition {test}>", *inside, "</condition>"])


def _tries(socket: str, waits_ms: Sequence[int], *, answered: bool) -> Iterator[str]:
    """The list of tries; an action is explained where it first occurs."""
    attempt = ("socket", f"{socket} async full"), ("transfer", "${controller_again}")
    if answered:
        yield from _rows(_WHY_SOCKET, attempt[0])
        yield from _rows(_WHY_TRANSFER, attempt[1])
    else:
        yield from _rows(None, *attempt)
        yield from _rows(_WHY_RING, ("ring_ready", ""))
    further: list[Action] = []
    waited_ms = 0
    for wait_ms in waits_ms:
        tone = answered and waited_ms >= SILENT_MS and wait_ms > TONE_MS
        wait = ("playback", _tone(wait_ms)) if tone else ("sleep", str(wait_ms))
        further += [wait, *attempt]
        waited_ms += wait_ms
    for place in range(0, len(further), INLINE):
        why = _WHY_WAIT if answered and not place else None
        yield from _rows(why, _folded(further[place : place + INLINE]))


def _folded(actions: Sequence[Action]) -> Action:
    """An action that does all of these: an extension in one line (dialplan `inline`), run as a
    subroutine. `\\s` is a space that does not end the line, and `\\$` has a variable expanded
    when its action runs, not before (source: `switch_separate_string`, switch_utils.c;
    `switch_channel_expand_variables_check`, switch_channel.c)."""
    line = "m:^:" + "^".join(f"{application}:{data}" for application, data in actions)
    return "execute_extension", line.replace(" ", r"\s").replace("${", r"\${") + " inline"


def _tone(wait_ms: int) -> str:
    return f"tone_stream://v={TONE_DB};%({TONE_MS},{wait_ms - TONE_MS},{TONE_HZ})"


def _as_anti_actions(rows: Iterable[str]) -> Iterator[str]:
    for row in rows:
        yield row.replace("<action ", "<anti-action ") if row.startswith("<action ") else row


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
        if not NUMBER.fullmatch(text) and (text or title == "number"):
            mistakes.append(
                f"{title}: {_shown(text)} may hold letters, digits and _ * # + . - only"
            )
    for title, text in (("domain_uuid", domain_uuid), ("secretary_uuid", secretary_uuid)):
        if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
            mistakes.append(
                f"{title}: {_shown(text)} is not a UUID; a new one: fs_cli -x create_uuid"
            )
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
