"""The command line: every command with its arguments, defaults, help and examples."""

from __future__ import annotations

import argparse
import math
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent, indent
from typing import NoReturn

from esl_controller.cli import argument_groups as groups
from esl_controller.cli import argument_types as kinds


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line. `command` in what it parses is the name of the command."""
    top = _Parser(
        prog="esl-controller",
        description="A call controller for voice AI on FreeSWITCH.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_examples(
            """
            esl-controller demo                    one whole call on this machine; needs nothing
            esl-controller settings --example > esl-controller.toml
            esl-controller serve                   take calls
            esl-controller dialplan --help         how FreeSWITCH hands them over
            esl-controller call 8000               try it with a call
            esl-controller doctor                  find out why it does not work
            esl-controller explain                 find the known faults in a log
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
        _add_doctor,
        _add_explain,
        _add_calls,
        _add_drain,
        _add_settings,
        _add_dialplan,
        _add_fusionpbx,
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
        groups.settings(parser)
    return parser


def _examples(text: str) -> str:
    return "examples:\n" + indent(dedent(text).strip("\n"), "  ")


def _add_serve(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "serve",
        "take calls from FreeSWITCH until stopped (SIGTERM, Ctrl-C)",
        """
        esl-controller serve
        esl-controller serve --config /etc/esl-controller.toml
        esl-controller serve --workers auto          a process for each processor
        OPENAI_API_KEY=... ESL_CONTROLLER_LOG_LEVEL=debug esl-controller serve
        """,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--workers",
        type=kinds.workers,
        metavar="N",
        help="take calls in N processes, or in one for each processor (auto), and have one more"
        " ready in the place of one that dies; 1 is of use for that. SIGHUP replaces them one by"
        " one, with the settings as they are by then (default: one process, without any other)",
    )
    which.add_argument("--worker", type=int, help=argparse.SUPPRESS)  # what a supervisor starts


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
        type=kinds.directory,
        default=Path(),
        metavar="DIR",
        help="where demo-call.wav and demo-call.png go (default: here)",
    )
    parser.add_argument("--language", choices=("en", "pt-BR"), default="en")
    parser.add_argument(
        "--seconds",
        type=kinds.seconds,
        metavar="S",
        help="end the call after S seconds at the latest (default: when the conversation is over)",
    )
    parser.add_argument(
        "--codec",
        choices=("PCMU", "L16"),
        default="PCMU",
        help="the caller's codec: PCMU 8 kHz, L16 16 kHz (default: PCMU)",
    )
    parser.add_argument(
        "--playback", choices=("lane", "file"), default="lane", help="(default: lane)"
    )


def _add_call(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "call",
        "have FreeSWITCH call a number, and show the call while it runs",
        """
        esl-controller call 8000
        esl-controller call 8000 --caller-audio hello.wav --record call.wav
        FREESWITCH_PASSWORD=... ESL_CONTROLLER_FREESWITCH_HOST=10.0.0.5 esl-controller call 8000

        Exit status 1: nobody answered, or nothing was heard.
        """,
    )
    parser.add_argument(
        "number", type=kinds.number, metavar="NUMBER", help="the number, as the dialplan knows it"
    )
    parser.add_argument(
        "--caller-audio", type=kinds.file, metavar="FILE", help="WAV file to play as the caller"
    )
    parser.add_argument(
        "--record",
        type=kinds.new_file,
        metavar="FILE",
        help="WAV file to write: the caller left, the reply right",
    )
    parser.add_argument(
        "--context", type=kinds.number, default="default", help="its context (default: default)"
    )
    parser.add_argument(
        "--timeout",
        type=kinds.seconds,
        default=60.0,
        metavar="S",
        help="seconds that the call may last (default: 60)",
    )
    for name in ("--domain-uuid", "--secretary-uuid"):
        parser.add_argument(
            name, type=kinds.uuid, metavar="UUID", help="set on the call (default: the dialplan's)"
        )


def _add_doctor(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "doctor",
        "check every link that a call needs, and say how to mend what is broken",
        """
        esl-controller doctor
        esl-controller doctor --number 8001 --context example.com --call
        esl-controller doctor --fix                  do what is safe, after asking

        Exit status 1: a check failed. It can run beside the controller.
        """,
    )
    parser.add_argument(
        "--number", type=kinds.number, default="8000", help="what callers dial (default: 8000)"
    )
    parser.add_argument(
        "--context", type=kinds.number, default="default", help="its context (default: default)"
    )
    parser.add_argument(
        "--domain",
        type=kinds.domain,
        metavar="NAME|UUID",
        help="FusionPBX domain, if the context does not have its name",
    )
    groups.fusionpbx_file(parser)
    parser.add_argument("--call", action="store_true", help="make a test call at the end")
    parser.add_argument("--fix", action="store_true", help="mend what is safe, after asking")
    parser.add_argument("--yes", action="store_true", help="with --fix: do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON when all checks are done")


def _add_explain(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "explain",
        "find the known faults in a log of FreeSWITCH or the controller, and say what to do",
        """
        esl-controller explain                       FreeSWITCH's log in its usual place
        esl-controller explain /var/log/freeswitch/freeswitch.log.1
        esl-controller explain --follow              what is logged from now on
        journalctl -u esl-controller | esl-controller explain
        """,
        config=False,
    )
    parser.add_argument("files", metavar="FILE", nargs="*", help="a log; - is standard input")
    parser.add_argument("--follow", action="store_true", help="keep reading as the log is written")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_drain(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "drain",
        "let the running controller finish its calls and end, without taking new ones",
        """
        esl-controller drain
        esl-controller drain --limit 600
        esl-controller drain pbx1:4711               one of several on this machine
        """,
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="as `esl-controller calls` lists it (default: the controller at [web])",
    )
    parser.add_argument(
        "--limit",
        type=kinds.seconds,
        default=math.inf,
        metavar="S",
        help="seconds after which the calls that are left are handed over (default: no limit)."
        " SIGTERM hands them over at once",
    )


def _add_calls(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "calls",
        "list the live calls of all controllers, or show calls from the record",
        """
        esl-controller calls
        esl-controller calls --json --url http://10.0.0.5:8023
        esl-controller calls recent --limit 50
        esl-controller calls show 4f8a2a8e-6a0c-4d51-9f0a-0c6d6d9ea0b4
        """,
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--url", type=kinds.http_url, help="ask only the controller with this [web] address"
    )
    records = parser.add_subparsers(metavar="show UUID | recent", dest="of")
    show = records.add_parser("show", help="one call, from its record")
    show.add_argument("call_uuid", type=kinds.call_uuid, metavar="UUID", help="of the call")
    recent = records.add_parser("recent", help="the last calls, from the record")
    recent.add_argument(
        "--limit", type=kinds.limit, default=20, metavar="N", help="how many (default: 20)"
    )
    for record in (show, recent):
        # Without SUPPRESS, this default would undo a --config that precedes the action's name.
        groups.settings(record, argparse.SUPPRESS)
        record.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="as JSON"
        )


def _add_settings(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "settings",
        "print the settings in effect, and where each one comes from",
        """
        esl-controller settings
        ESL_CONTROLLER_MEDIA_RATE=8k esl-controller settings --config test.toml
        esl-controller settings --example > esl-controller.toml
        """,
    )
    parser.add_argument(
        "--example", action="store_true", help="print a settings file with every default instead"
    )


def _add_dialplan(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "dialplan",
        "print the dialplan extension that hands FreeSWITCH's calls over",
        """
        esl-controller dialplan --domain-uuid UUID --secretary-uuid UUID > voice_ai.xml
        esl-controller dialplan --number 8001 --domain-uuid UUID --secretary-uuid UUID \\
            --socket "10.0.0.5:8022|10.0.0.6:8022" --fallback "transfer operator XML default"
        fs_cli -x reloadxml
        """,
    )
    parser.add_argument("--number", default="8000", help="what callers dial (default: 8000)")
    parser.add_argument("--domain-uuid", required=True, metavar="UUID", help="the tenant")
    parser.add_argument("--secretary-uuid", required=True, metavar="UUID", help="the persona")
    groups.handover(parser)
    parser.add_argument(
        "--context",
        default="",
        help="print a whole context with this name (default: only the extension)",
    )
    parser.add_argument("--name", default="", help="its name (default: made from the number)")


def _add_fusionpbx(commands: Commands[_Parser]) -> None:
    parser = _add(
        commands,
        "fusionpbx",
        "put the extension into FusionPBX, show it, or remove it",
        """
        esl-controller fusionpbx install --domain pbx.example.net --secretary-uuid UUID
        esl-controller fusionpbx install --domain pbx.example.net --secretary-uuid UUID --dry-run
        esl-controller fusionpbx show
        esl-controller fusionpbx remove --domain pbx.example.net --number 8000
        esl-controller fusionpbx --restore fusionpbx-8000-20261122T140312.000000Z.json

        Other dialplans are never changed. Exit status 1: it was not done, or is not in effect.
        """,
    )
    groups.fusionpbx(parser)
    parser.add_argument(
        "--restore",
        type=kinds.file,
        metavar="FILE",
        help="restore the backup that install or remove made",
    )
    actions = parser.add_subparsers(metavar="install | show | remove", dest="action")
    install = actions.add_parser("install", help="write the dialplan of a number, with its details")
    groups.extension(install)
    show = actions.add_parser("show", help="show what is there, and what is wrong with it")
    remove = actions.add_parser("remove", help="remove our dialplan")
    for action, needed in ((install, True), (show, False), (remove, True)):
        groups.settings(action, argparse.SUPPRESS)
        groups.fusionpbx(action, argparse.SUPPRESS)
        action.add_argument("--domain", required=needed, type=kinds.domain, metavar="NAME|UUID")
    for action in (show, remove):
        action.add_argument("--number", required=action is remove, type=kinds.number)


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
    check = actions.add_parser("check", help="print a line for each mistake in the files")
    check.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="FILE|FOLDER",
        help="what to check (default: [secretaries] folder)",
    )
    check.add_argument(
        "--number",
        type=kinds.number,
        default="8000",
        help="what callers dial, where no destination may lead (default: 8000)",
    )
    show = actions.add_parser("show", help="the values in effect, and where each comes from")
    show.add_argument("name", metavar="NAME|UUID|FILE", help="default: the one for all other calls")
    show.add_argument("--prompt", action="store_true", help="print what the model is told instead")
    new = actions.add_parser("new", help="write a file with every key and its help")
    new.add_argument("name", type=kinds.person, metavar="NAME")
    new.add_argument(
        "--language", type=kinds.language, metavar="TAG", help="(default: that of [agent])"
    )
