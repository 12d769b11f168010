"""The commands of the command line.

Each one imports what it needs when it runs, so that help, settings and dialplan are quick. Exit
status: 0 done, 1 failed, 2 a mistake in the arguments or settings (a line for each), 130
interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from esl_controller.cli import arguments

if TYPE_CHECKING:
    from esl_controller.config.settings import Loaded


class UsageError(Exception):
    """Mistakes in the arguments or settings; the text has one line for each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (None: the process's own arguments); return its exit status."""
    args = arguments.parser().parse_args(argv)
    try:
        status = _COMMANDS[args.command](args)
        if sys.stdout is not None:  # None: it is closed
            sys.stdout.flush()
        return status
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        _nobody_reads()
        return 1
    except OSError as error:
        print(f"esl-controller: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _serve(args: argparse.Namespace) -> int:
    # Collecting garbage takes a fifth of a start's time and finds none: what a start makes stays.
    # `app.settle` enables it again.
    gc.disable()
    try:
        loaded = _load(args)
        _configure_logs(loaded)
        if args.workers is not None:
            from esl_controller.config.settings import SettingsError
            from esl_controller.server.workers import supervisor

            gc.enable()
            try:
                return supervisor.supervise(loaded, args.workers)
            except SettingsError as error:
                raise UsageError(f"esl-controller serve --workers: {error}") from None
        from esl_controller.server import app

        return app.serve(loaded) if args.worker is None else app.work(loaded, args.worker)
    finally:
        gc.enable()


def _demo(args: argparse.Namespace) -> int:
    from esl_controller import demo

    return demo.run(args)


def _call(args: argparse.Namespace) -> int:
    loaded = _load(args)
    _configure_logs(loaded)
    from esl_controller.diagnostics import place_call

    try:
        audio, rate = (
            place_call.read_wav(args.caller_audio)
            if args.caller_audio
            else place_call.bundled_words(loaded.settings.agent.language)
        )
    except place_call.CallFailed as error:
        raise UsageError(error) from None
    uuids = {"domain_uuid": args.domain_uuid, "secretary_uuid": args.secretary_uuid}
    plan = place_call.CallPlan(
        number=args.number,
        context=args.context,
        audio=audio,
        audio_rate=rate,
        record=args.record,
        timeout_s=args.timeout,
        variables={name: value for name, value in uuids.items() if value},
    )
    return place_call.call(loaded.settings, plan)


def _doctor(args: argparse.Namespace) -> int:
    from esl_controller.diagnostics.doctor import command

    if args.yes and not args.fix:
        raise UsageError("esl-controller doctor: --yes needs --fix, too")
    try:
        loaded = _load(args)
    except UsageError as error:
        return command.misconfigured(str(error), as_json=args.json)
    _configure_logs(loaded, level="error")
    return command.run(args, loaded)


def _explain(args: argparse.Namespace) -> int:
    from esl_controller.diagnostics.explain import command

    return command.run(args.files, following=args.follow, as_json=args.json)


def _calls(args: argparse.Namespace) -> int:
    loaded = _load(args)
    if args.of:
        from esl_controller.store import show

        if args.of == "show":
            return show.show_call(loaded.settings, args.call_uuid, as_json=args.json)
        return show.show_recent(loaded.settings, args.limit, as_json=args.json)
    if args.url is None and loaded.settings.store.url:
        from esl_controller.store import StoreError, show

        try:
            show.show_current(loaded.settings, as_json=args.json)
        except StoreError as error:
            print(f"showing one controller's calls only: {error}", file=sys.stderr)
        else:
            return 0
    from esl_controller.server.web import client

    return client.list_calls(loaded.settings, url=args.url, as_json=args.json)


def _drain(args: argparse.Namespace) -> int:
    from esl_controller.server.web import client

    settings = _load(args).settings
    if args.name is None:
        return client.drain(settings, limit_s=args.limit)
    from esl_controller.store import StoreError, show

    try:
        url = show.web_address(settings, args.name)
    except StoreError as error:
        raise UsageError(f"esl-controller drain: {error}") from None
    return client.drain(settings, limit_s=args.limit, url=url)


def _settings(args: argparse.Namespace) -> int:
    from esl_controller.config import loading

    return _write(loading.example() if args.example else loading.describe(_load(args)))


def _dialplan(args: argparse.Namespace) -> int:
    from esl_controller.freeswitch import dialplan

    given = [application.partition(" ")[::2] for application in args.fallback]
    socket = args.socket or _load(args).settings.esl.dialled
    try:
        text = dialplan.render(
            args.number,
            domain_uuid=args.domain_uuid,
            secretary_uuid=args.secretary_uuid,
            socket=socket,
            fallback=given or dialplan.FALLBACK,
            context=args.context,
            name=args.name,
        )
    except dialplan.DialplanError as error:
        raise UsageError(error) from None
    return _write(text)


def _fusionpbx(args: argparse.Namespace) -> int:
    if bool(args.action) == bool(args.restore):
        raise UsageError("esl-controller fusionpbx: say install, show, remove, or --restore FILE")
    if args.action == "show" and args.number and not args.domain:
        raise UsageError("esl-controller fusionpbx: show --number needs --domain, too")
    settings = _load(args).settings
    from esl_controller.freeswitch.dialplan import FALLBACK, DialplanError
    from esl_controller.fusionpbx import commands
    from esl_controller.fusionpbx.errors import FusionError
    from esl_controller.secretaries.commands import name_of

    options = commands.Options(
        settings.freeswitch, args.fusionpbx, args.yes, args.dry_run, args.sql, args.backup
    )
    try:
        if args.restore:
            return commands.restore(options, args.restore)
        if args.action == "show":
            return commands.show(options, args.domain or "", args.number or "")
        if args.action == "remove":
            return commands.remove(options, args.domain, args.number)
        given = [application.partition(" ")[::2] for application in args.fallback]
        wanted = commands.Installation(
            args.domain,
            args.number,
            args.secretary_uuid,
            args.context,
            args.name,
            args.order,
            args.socket or settings.esl.dialled,
            given or FALLBACK,
            args.beside,
            name_of(args.secretary_uuid, settings),
        )
        return commands.install(options, wanted)
    except DialplanError as error:
        raise UsageError(error) from None
    except FusionError as error:
        print(f"esl-controller fusionpbx: {error}", file=sys.stderr)
        return 1


def _secretary(args: argparse.Namespace) -> int:
    settings = _load(args).settings
    from esl_controller.secretaries import commands

    try:
        if args.action == "new":
            return _write(commands.new(args.name, args.language, settings))
        if args.action == "show":
            return _write(commands.show(args.name, settings, prompt_only=args.prompt))
        text, right = commands.check(args.paths, settings, args.number)
    except commands.SecretaryError as error:
        raise UsageError(error) from None
    return _write(text) or int(not right)


def _load(args: argparse.Namespace) -> Loaded:
    from esl_controller.config.default_file import default_file
    from esl_controller.config.loading import load
    from esl_controller.config.settings import SettingsError

    try:
        return load(args.config or default_file(os.environ), os.environ)
    except SettingsError as error:
        raise UsageError(error) from None


def _configure_logs(loaded: Loaded, level: Literal["error"] | None = None) -> None:
    """Set up the log, and log where the settings come from. ``level`` overrides theirs."""
    import structlog

    from esl_controller.config.settings import secrets
    from esl_controller.server import logs

    settings = loaded.settings
    logs.configure(settings.log.format, level or settings.log.level, secrets=secrets(settings))
    log = structlog.get_logger(__name__)
    log.info("settings read", file=str(loaded.path) if loaded.path else "none, all defaults")
    for name in loaded.ignored:
        log.warning("environment variable is no setting", variable=name)


def _write(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _nobody_reads()
    return 0


def _nobody_reads() -> None:
    """Discard what is still buffered for a reader that has gone: writing it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "demo": _demo,
    "call": _call,
    "doctor": _doctor,
    "explain": _explain,
    "calls": _calls,
    "drain": _drain,
    "settings": _settings,
    "dialplan": _dialplan,
    "fusionpbx": _fusionpbx,
    "secretary": _secretary,
}
