"""The log: one line for each event, as JSON or for a terminal, without secrets at any level.

Our own lines (structlog) and those of libraries (logging) go through the same processors. They get
what is bound in ``structlog.contextvars`` (``call_uuid``, ``domain_uuid``) and the time in UTC, and
pass the `Redactor` just before they are written.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

MASK = "***"
STRANGERS = 10
TELL_S = 60.0

_SECRET_NAME = re.compile(
    r"(token|authorization|password|passwd|secret|cookie|apikey|extra_headers|(^|[_-])key)\Z", re.I
)
_SECRET_TEXT = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        r"(bearer(?:\s|%20|\+)+)[^\s\"',;}]+",
        r"(\bsk-)[\w*-]{4,}",
        # To the end of the line: an Event Socket password may contain spaces.
        r"(\b(?:user)?auth[ \t]+).+",
        # Not where a sentence names it: ", set by STREAM_EXTRA_HEADERS, is missing".
        r"(STREAM_EXTRA_HEADERS(?!, )\W{0,4}).+",
        r"((?:authorization|cookie)[\"']?\s*[=:,]\s*).+",
        r"((?:token|password|passwd|secret|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&}]+",
        r"([?&]\w*key=)[^\s\"',;&}]+",
        r"(\w://)[^/\s@]+(?=@)",
    )
)
_TEXT_LIMIT = 4000
_DEPTH_LIMIT = 6


class Redactor:
    """Makes values fit to be logged: secrets masked, control characters escaped, length bounded.

    A value whose name looks like a secret's is masked whole. In all other text, whatever looks like
    a secret is masked, and so is each of `secrets` that has at least six characters: a shorter one
    could be part of any text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted((s for s in secrets if len(s) >= 6), key=len, reverse=True)

    def text(self, text: str) -> str:
        """`text` on one line, cut after 4000 characters."""
        masked = self._mask(text)
        cut = masked if len(masked) <= _TEXT_LIMIT else masked[:_TEXT_LIMIT] + "…"
        return cut if cut.isprintable() else "".join(map(_printable, cut))

    def traceback(self, text: str) -> str:
        """`text` with every line indented, so that none looks like a line of the log."""
        lines = self._mask(text).split("\n")
        return "\n".join("  " + "".join(map(_printable, line)) for line in lines)

    def value(self, value: object, depth: int = 0) -> Any:
        """`value`, and whatever it contains, as types that JSON has."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            # JSON has no Infinity, and few readers know a number of more than 64 bits.
            return value if abs(value) < 2**63 else "a number that is too large"
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode(errors="backslashreplace"))
        if depth < _DEPTH_LIMIT and isinstance(value, Mapping):
            return {
                self.text(str(name)): self.named(str(name), item, depth + 1)
                for name, item in value.items()
            }
        if depth < _DEPTH_LIMIT and isinstance(value, list | tuple | set | frozenset):
            match value:
                case [str(name), item]:
                    return [self.text(name), self.named(name, item, depth + 1)]
            return [self.value(item, depth + 1) for item in value]
        return self.text(str(value))

    def named(self, name: str, value: object, depth: int = 0) -> Any:
        """`value`, masked whole if `name` looks like a secret's."""
        if _SECRET_NAME.search(name) and value not in (None, ""):
            return MASK
        return self.value(value, depth)

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> Mapping[str, Any]:
        """The whole line, its usual fields first; structlog calls this as a processor."""
        line: dict[str, Any] = {}
        for name in ("timestamp", "level", "logger", "event"):
            line[name] = self.value(event.pop(name, ""))
        for name, value in event.items():
            traced = name in ("exception", "stack") and isinstance(value, str)
            line[name] = self.traceback(str(value)) if traced else self.named(name, value)
        return line

    def _mask(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for pattern in _SECRET_TEXT:
            text = pattern.sub(rf"\g<1>{MASK}", text)
        return text


class Strangers:
    """Keeps those who can connect to our ports from filling the disk with lines about them.

    Of lines with ``stranger=True``, ``STRANGERS`` of one text pass in ``TELL_S``. The next one that
    passes says how many did not: ``untold``. structlog calls this as a processor.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str, tuple[float, int]] = {}  # since when, and how many, by the text

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        if not event.pop("stranger", False):
            return event
        now = self._clock()
        since, count = self._lines.get(event["event"], (now, 0))
        if now - since >= TELL_S:
            if count > STRANGERS:
                event["untold"] = count - STRANGERS
            since, count = now, 0
        self._lines[event["event"]] = since, count + 1
        if count >= STRANGERS:
            raise structlog.DropEvent
        return event


def configure(
    format: Literal["auto", "json", "console"] = "auto",
    level: Literal["debug", "info", "warning", "error"] = "info",
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Send everything that this process logs to `stream` (None: standard error).

    `level` is for our own packages. Of libraries, only warnings are logged unless it is debug.
    `secrets` are masked wherever they occur. Calling this again replaces the earlier set-up.
    """
    stream = stream or sys.stderr
    if format == "auto":
        format = "console" if stream.isatty() else "json"
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=_processors(format, stream, secrets))
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    _set_levels(getattr(logging, level.upper()))
    structlog.configure(
        processors=[Strangers(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def _processors(format: str, stream: TextIO, secrets: Iterable[str]) -> list[Processor]:
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.stdlib.add_log_level,
        _add_time,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        Redactor(secrets),
        renderer,
    ]


def _set_levels(level: int) -> None:
    libraries = level if level < logging.INFO else max(level, logging.WARNING)
    logging.getLogger().setLevel(libraries)
    for ours in ("esl_controller", "media"):
        logging.getLogger(ours).setLevel(level)
    # At debug, websockets logs every message (one for each piece of audio), and aiosqlite every
    # statement with its values: what callers said, and the URLs of deliveries.
    for too_much in ("websockets", "aiosqlite"):
        logging.getLogger(too_much).setLevel(max(libraries, logging.INFO))
    _take_over_genesis()


def _take_over_genesis() -> None:
    """Send the lines of Genesis through our handler.

    When imported, Genesis makes a logger of a class of its own, with its own handler and without
    propagation. So it must be imported before that can be undone.
    """
    from esl_controller.freeswitch.esl import logger

    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a line that cannot be written: Python would print its arguments, unmasked."""


def _add_time(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    event["timestamp"] = now.replace("+00:00", "Z")
    return event


def _printable(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
