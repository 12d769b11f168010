"""Reading a secretary's file: the line of every mistake, and the source of every value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from esl_controller.config import toml_file
from esl_controller.config.model_settings import AgentSettings
from esl_controller.config.setting_types import UUID, Mistakes
from esl_controller.secretaries.secretary import Secretary, of_agent

DEFAULT = "default"

Location: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True)
class Reading:
    """A secretary, or a line for each mistake in its file.

    ``places`` maps a key, such as ``destinations.0.name``, to where its value comes from:
    "FILE:LINE", or "[agent]" if the file has none.
    """

    path: Path
    secretary: Secretary | None
    mistakes: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)


def read(path: Path, agent: AgentSettings) -> Reading:
    """Read one file. Whatever is in it, nothing is raised."""
    try:
        values, places = toml_file.read(path)
    except toml_file.TomlError as error:
        return Reading(path, None, (str(error),))
    try:
        written = Secretary.model_validate(_with_key(values, path))
    except ValidationError as error:
        details = error.errors(include_url=False)
        lines = (line for detail in details for line in _explain(detail, places, path))
        mistakes = set(islice(lines, toml_file.MISTAKES_LIMIT))
        return Reading(path, None, tuple(sorted(mistakes, key=_line)), places)
    if written.key == ("", "") and path.stem != DEFAULT:
        unreachable = (
            f"{path}: secretary_uuid: is missing: no call would find it. Write it, or domain_uuid,"
            f" or call the file UUID.toml, or {DEFAULT}.toml for all other calls"
        )
        return Reading(path, None, (unreachable,), places)
    inherited = {key: "[agent]" for key in of_agent(agent) if not getattr(written, key)}
    return Reading(path, written.completed(agent), (), {**places, **inherited})


def _with_key(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """``values``, with secretary_uuid from the file's name if neither UUID is given."""
    if not UUID.fullmatch(path.stem) or {"domain_uuid", "secretary_uuid"} & values.keys():
        return values
    return {**values, "secretary_uuid": path.stem}


def _line(mistake: str) -> tuple[int, str]:
    """The line of a mistake, to sort by."""
    match = re.search(r":(\d+): ", mistake)
    return (int(match[1]) if match else 0), mistake


def _explain(error: ErrorDetails, places: Mapping[str, str], path: Path) -> Iterator[str]:
    """A line for each mistake in one of pydantic's errors."""
    location = tuple(part for part in error["loc"] if part != "[key]")
    wrong = error.get("ctx", {}).get("error")
    if not isinstance(wrong, Mistakes):
        yield _mistake(location, _reason(error, location), places, path)
        return
    for key, text in wrong.mistakes:
        parts = (int(part) if part.isdigit() else part for part in key.split("."))
        yield _mistake((*location, *parts), text, places, path)


def _mistake(location: Location, text: str, places: Mapping[str, str], path: Path) -> str:
    names = [".".join(map(str, location[:size])) for size in range(len(location), 0, -1)]
    place = next((places[name] for name in names if name in places), str(path))
    return f"{place}: {_title(location)}: {text}"


def _title(location: Location) -> str:
    """A key as the file has it: ``[limits] idle_s``, ``[[destinations]] name``."""
    parts = list(location)
    while isinstance(parts[-1], int):
        parts.pop()
    *tables, key = parts
    name = ".".join(part for part in tables if isinstance(part, str))
    if not tables:
        return str(key)
    return f"[[{name}]] {key}" if isinstance(tables[-1], int) else f"[{name}] {key}"


def _reason(error: ErrorDetails, location: Location) -> str:
    key = str(location[-1])
    table = _table_at(location[:-1])
    kind = error["type"]
    if kind == "extra_forbidden" and table:
        return _advice(key, table)
    name = ".".join(part for part in location if isinstance(part, str))
    if kind == "model_type":
        return f"must be a table: write [{name}] on a line of its own, its keys below it"
    if kind == "tuple_type" and _table_at(location):
        return f"must be a list of tables: write [[{name}]] on a line of its own before each"
    return toml_file.reason(error, table, key)


def _advice(key: str, table: type[BaseModel]) -> str:
    """What to write instead of the unknown ``key``."""
    homes = [name for name, home in tables() if key in home.model_fields]
    if close := difflib.get_close_matches(key, table.model_fields, n=1):
        return f"unknown; did you mean {close[0]}?"
    if homes:
        where = " or ".join(home or "the top, before the first [table]" for home in homes)
        return f"unknown; it belongs in {where}"
    return "unknown; there are " + ", ".join(table.model_fields)


def tables(
    table: type[BaseModel] = Secretary, prefix: str = ""
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every table with its heading, such as ``[limits]``; first the file's top, which has none."""
    if not prefix:
        yield "", table
    for key, info in table.model_fields.items():
        if inner := _table(info.annotation):
            name = prefix + key
            yield (f"[{name}]" if info.annotation is inner else f"[[{name}]]"), inner
            yield from tables(inner, f"{name}.")


def _table_at(location: Location) -> type[BaseModel] | None:
    """The table at ``location``, None if there is none."""
    table: type[BaseModel] | None = Secretary
    for part in location:
        if isinstance(part, str) and table:
            info = table.model_fields.get(part)
            table = _table(info.annotation) if info else None
    return table


def _table(annotation: Any) -> type[BaseModel] | None:
    kinds = (annotation, *get_args(annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
