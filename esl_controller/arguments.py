"""The arguments of the command line: their types, defaults and help."""

from __future__ import annotations

import argparse
import math
import re
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent, indent
from typing import NoReturn

DEFAULT_FILES = (Path("esl-controller.toml"), Path("/etc/esl-controller.toml"))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line; `command` of its result is the name of the command."""
    top = _Parser(
        prog="esl-controller",
        description="A call controller for voice AI on FreeSWITCH.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_examples(
            """
            esl-controller demo                    one whole call on this machine, nothing needed
            esl-controller settings --example > esl-controller.toml
            esl-controller serve                   take calls
            esl-controller dialplan --help         how FreeSWITCH hands them over
            esl-controller call 8000               try it with a call
            """
        ),
    )
    top.add_argument(
        "--version", action="version", version=f"esl-controller {version('esl-controller')}"
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_serve,
        _add_demo,
        _add_call,
        _add_calls,
        _add_drain,
        _add_settings,
        _add_dialplan,
        _add_secretary,
    ):
        add(commands)
    return top


Commands = argparse._SubParsersAction  # the type has no public name


def _add(
    commands: Commands[_Parser],
    name: str,
    about: str,
    examples: str,
    *,
    config: bool = True,
) -> _Parser:
    parser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=_examples(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=name)
    if config:
        _add_config(parser)
    return parser


def _add_config(parser: _Parser, default: str | None = None) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=default,
        help="settings (default: " + " or ".join(map(str, DEFAULT_FILES)) + ", if there)",
    )


def _examples(text: str) -> str:
    return "examples:\n" + indent(dedent(text).strip("\n"), "  ")


def _add_serve(commands: Commands[_Parser]) -> None:
    _add(
        commands,
        "serve",
        "take calls from FreeSWITCH until it is stopped (SIGTERM, Ctrl-C)",
        """
        esl-controller serve
        esl-controller serve --config /etc/esl-controller.toml
        OPENAI_API_KEY=... ESL_CONTROLLER_LOG_LEVEL=debug esl-controller serve
        """,
    )


def _add_demo(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "demo",
        "one whole call, with stand-ins for FreeSWITCH and the voice model",
        """
        esl-controller demo
        esl-controller demo --language pt-BR --codec L16 --output results
        esl-controller demo --playback file          for comparison with the lane
        """,
        config=False,
    )
    parser.add_argument(
        "--output",
        type=_directory,
        default=Path(),
        metavar="DIR",
        help="where demo-call.wav and demo-call.png go (default: here)",
    )
    parser.add_argument("--language", choices=("en", "pt-BR"), default="en")
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="S",
        help="end the call after so long at the latest (default: when the conversation is over)",
    )
    parser.add_argument(
        "--codec",
        choices=("PCMU", "L16"),
        default="PCMU",
        help="the caller's: PCMU 8 kHz, L16 16 kHz (default: PCMU)",
    )
    parser.add_argument(
        "--playback", choices=("lane", "file"), default="lane", help="(default: lane)"
    )


def _add_call(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "call",
        "let FreeSWITCH make a call to a number, and show it while it runs",
        """
        esl-controller call 8000
        esl-controller call 8000 --caller-audio hello.wav --record call.wav
        FREESWITCH_PASSWORD=... ESL_CONTROLLER_FREESWITCH_HOST=10.0.0.5 esl-controller call 8000

        Exit status 1: it was not answered, or nothing was heard.
        """,
    )
    parser.add_argument("number", type=_number, metavar="NUMBER", help="as the dialplan knows it")
    parser.add_argument(
        "--caller-audio", type=_file, metavar="FILE", help="WAV that the caller says"
    )
    parser.add_argument(
        "--record", type=_new_file, metavar="FILE", help="WAV to write: caller left, reply right"
    )
    parser.add_argument(
        "--context", type=_number, default="default", help="of the dialplan (default: default)"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="for the call (default: 60)"
    )
    for name in ("--domain-uuid", "--secretary-uuid"):
        parser.add_argument(
            name, type=_uuid, metavar="UUID", help="set on the call (default: the dialplan's)"
        )


def _add_drain(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "drain",
        "let the running controller finish its calls and end, without taking new ones",
        """
        esl-controller drain
        esl-controller drain --limit 600
        """,
    )
    parser.add_argument(
        "--limit",
        type=_seconds,
        default=math.inf,
        metavar="S",
        help="then hand over what is left (default: none). To hand the calls over at once: SIGTERM",
    )


def _add_calls(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "calls",
        "list the live calls of the running controller, or show what was written down of calls",
        """
        esl-controller calls
        esl-controller calls --json --url http://10.0.0.5:8080
        esl-controller calls recent --limit 50
        esl-controller calls show 4f8a2a8e-6a0c-4d51-9f0a-0c6d6d9ea0b4
        """,
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--url", type=_http_url, help="of the controller (default: [web] in the settings)"
    )
    records = parser.add_subparsers(metavar="show UUID | recent", dest="of")
    show = records.add_parser("show", help="one call, from its record")
    show.add_argument("call_uuid", type=_call_uuid, metavar="UUID", help="of the call")
    recent = records.add_parser("recent", help="the last calls, from the record")
    recent.add_argument(
        "--limit", type=_limit, default=20, metavar="N", help="how many (default: 20)"
    )
    for record in (show, recent):
        # What stands before the word is not undone by a default behind it.
        _add_config(record, argparse.SUPPRESS)
        record.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="as JSON"
        )


def _add_settings(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "settings",
        "print the settings in effect, and where each comes from",
        """
        esl-controller settings
        ESL_CONTROLLER_MEDIA_RATE=8k esl-controller settings --config test.toml
        esl-controller settings --example > esl-controller.toml
        """,
    )
    parser.add_argument(
        "--example", action="store_true", help="print a file with every default instead"
    )


def _add_dialplan(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "dialplan",
        "print the extension by which FreeSWITCH hands calls over",
        """
        esl-controller dialplan --domain-uuid UUID --secretary-uuid UUID > voice_ai.xml
        esl-controller dialplan --number 8001 --domain-uuid UUID --secretary-uuid UUID \\
            --socket "10.0.0.5:8022|10.0.0.6:8022" --fallback "transfer operator XML default"
        fs_cli -x reloadxml
        """,
        config=False,
    )
    parser.add_argument("--number", default="8000", help="that callers dial (default: 8000)")
    parser.add_argument("--domain-uuid", required=True, metavar="UUID", help="the tenant")
    parser.add_argument("--secretary-uuid", required=True, metavar="UUID", help="the persona")
    parser.add_argument(
        "--socket",
        default="127.0.0.1:8022",
        metavar="HOST:PORT",
        help="the controller, or several with | between them (default: %(default)s)",
    )
    parser.add_argument(
        "--fallback",
        action="append",
        default=[],
        metavar='"APP DATA"',
        help="what the caller gets where no controller is; again for a next action"
        " (default: a busy tone, then the end of the call)",
    )
    parser.add_argument(
        "--context",
        default="",
        help="print a whole context of this name (default: only the extension)",
    )
    parser.add_argument("--name", default="", help="of the extension (default: from the number)")


def _add_secretary(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "secretary",
        "check, show or write the personas that answer calls",
        """
        esl-controller secretary new Ana --language pt-BR
        esl-controller secretary check
        esl-controller secretary show Ana --prompt

        Exit status 1: a file has a mistake.
        """,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    check = actions.add_parser("check", help="a line for each mistake in the files")
    check.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="FILE|FOLDER",
        help="(default: [secretaries] folder)",
    )
    show = actions.add_parser("show", help="the values in effect, and where each comes from")
    show.add_argument("name", metavar="NAME|UUID|FILE", help="default: the one for all other calls")
    show.add_argument("--prompt", action="store_true", help="what the model is told instead")
    new = actions.add_parser("new", help="write a file with every key and its help")
    new.add_argument("name", type=_person, metavar="NAME")
    new.add_argument("--language", type=_language, metavar="TAG", help="(default: that of [agent])")


def _checked(text: str, pattern: str, expected: str) -> str:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return text


def _number(text: str) -> str:
    return _checked(text, r"[\w*#+.-]{1,64}", "made of letters, digits and _ * # + . - only")


def _uuid(text: str) -> str:
    return _checked(text, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a UUID").lower()


def _call_uuid(text: str) -> str:
    _uuid(text)
    return text  # as the switch writes it


def _person(text: str) -> str:
    return _checked(text, r"[^\x00-\x1f\x7f-\xa0]{1,100}", "a name")


def _language(text: str) -> str:
    return _checked(text, r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", "a language tag such as pt-BR")


def _http_url(text: str) -> str:
    return _checked(text, r"https?://[^\s/]+(/[^\s]*)?", "an http:// or https:// URL")


def _limit(text: str) -> int:
    return int(_checked(text, r"[1-9]\d{0,3}", "a number from 1 to 9999"))


def _seconds(text: str) -> float:
    seconds = float(_checked(text, r"\d{1,5}(\.\d+)?", "a number of seconds"))
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 3600 seconds")
    return seconds


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return Path(text)


def _new_file(text: str) -> Path:
    if Path(text).is_dir() or not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write to {text!r}: no such directory, or one")
    return Path(text)


def _directory(text: str) -> Path:
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a directory")
    return Path(text)
