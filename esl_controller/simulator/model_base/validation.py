"""What clients send, checked against the `openai` package's own parameter types.

A violation becomes an `error` event in the shape of the GA API: type invalid_request_error, a code,
the path of the offending field as `param`, the client's event id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from pydantic import ConfigDict, TypeAdapter, ValidationError

ClientEvent: TypeAlias = dict[str, Any]

# The reference says that null turns these off; the parameter types do not allow it (openai 3.54).
_NULLABLE: Final = ("noise_reduction", "transcription")

_CODES: Final = {
    "missing": ("missing_required_parameter", "Missing required parameter: '{param}'."),
    "extra_forbidden": ("unknown_parameter", "Unknown parameter: '{param}'."),
    "literal_error": ("invalid_value", "Invalid value for '{param}': {reason}."),
}
_INVALID_TYPE: Final = ("invalid_type", "Invalid type for '{param}': {reason}.")


class ProtocolError(Exception):
    """Something that the client sent is wrong; the session goes on."""

    def __init__(
        self,
        code: str,
        message: str,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.param = param


@dataclass(frozen=True)
class ClientEvents:
    """What clients of one protocol may send.

    append: the type of the event with audio, which has a check of its own: `decode_append`.
    params: the parameter types of all other events, by event type.
    id_field: where an error names the client's event.
    """

    append: str
    params: Mapping[str, Any]
    id_field: str

    @property
    def names(self) -> tuple[str, ...]:
        """All event types."""
        return (self.append, *self.params)

    def check(self, event: ClientEvent) -> None:
        """Raise ProtocolError unless `event` is well formed."""
        kind = event.get("type")
        if kind is None:
            raise ProtocolError(
                "missing_required_parameter", "Missing required parameter: 'type'.", "type"
            )
        if not isinstance(kind, str) or kind not in self.params:
            supported = ", ".join(f"'{name}'" for name in self.names)
            raise ProtocolError(
                "invalid_value",
                f"Invalid value: '{kind}'. Supported values are: {supported}.",
                "type",
            )
        try:
            (checked,) = _adapter(self.params[kind]).validate_python([_without_nulls(event)])
            _force(checked, ())
        except ValidationError as error:
            raise _protocol_error(error, event) from None

    def error(self, error: ProtocolError, event_id: str | None) -> dict[str, Any]:
        """The `error` field of an error event about the client's event `event_id`."""
        return {
            "type": error.kind,
            "code": error.code,
            "message": error.message,
            "param": error.param,
            self.id_field: event_id,
        }

    def warm_up(self) -> None:
        """Build the validators now: it takes 60 ms, in which nobody's audio should be waiting."""
        for param in self.params.values():
            _adapter(param)


@cache
def _adapter(param: Any) -> TypeAdapter[list[Any]]:
    # A list around it: a bare TypedDict would not take the configuration.
    listed: Any = list.__class_getitem__(param)
    return TypeAdapter(listed, config=ConfigDict(extra="forbid", strict=True))


def _without_nulls(event: ClientEvent) -> ClientEvent:
    try:
        given = event["session"]["audio"]["input"]
        kept = {k: v for k, v in given.items() if v is not None or k not in _NULLABLE}
    except (KeyError, TypeError, AttributeError):
        return event
    session = event["session"]
    return {**event, "session": {**session, "audio": {**session["audio"], "input": kept}}}


class _AtPath(Exception):
    """Carries where a lazily checked list was when it failed."""


def _force(value: Any, path: tuple[str | int, ...]) -> None:
    """Walk through `value`: pydantic checks the members of an Iterable only when asked for them."""
    if isinstance(value, dict):
        for key, member in value.items():
            _force(member, (*path, key))
    elif isinstance(value, Iterator | list):
        try:
            for index, member in enumerate(value):
                _force(member, (*path, index))
        except ValidationError as error:
            if error.__cause__ is None:
                error.__cause__ = _AtPath(*path)
            raise


def _protocol_error(error: ValidationError, event: ClientEvent) -> ProtocolError:
    found = error.errors(include_url=False, include_input=False)
    foreign = [
        e["loc"][:-1] for e in found if e["loc"][-1:] == ("type",) and e["type"] == "literal_error"
    ]
    # In a union, only the branch that the event's `type` names says what is wrong.
    own = [e for e in found if not any(e["loc"][: len(loc)] == loc for loc in foreign)]
    first = (own or found)[0]
    base = error.__cause__.args if isinstance(error.__cause__, _AtPath) else ()
    loc = (*base, *first["loc"]) if base else first["loc"][1:]
    param = _param(loc, event, of_key=first["type"] in ("missing", "extra_forbidden"))
    code, text = _CODES.get(first["type"], _INVALID_TYPE)
    return ProtocolError(code, text.format(param=param, reason=first["msg"]), param)


def _param(loc: tuple[str | int, ...], event: ClientEvent, *, of_key: bool) -> str:
    """`session.audio.input.format`, `item.content[0].text`: without pydantic's names of types.

    of_key: the last part of `loc` is a key, whether the event has it or not.
    """
    path = ""
    here: Any = event
    for position, part in enumerate(loc):
        inside = isinstance(here, dict | list)
        exists = (part in here) if isinstance(here, dict) else inside and isinstance(part, int)
        if not exists and not (of_key and position == len(loc) - 1):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        if exists:
            here = here[part]
    return path
