"""TOML files that people write: reading values with their lines, plain errors, and writing."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from esl_controller.config.setting_types import shown


class TomlError(Exception):
    """A file is not TOML, or cannot be read; the text is one line with the place."""


def read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The file's tables, and "FILE:LINE" for every table and key in it.

    A key's name is dotted, with the index of an array's table: ``tools.webhooks.0.url``. Raises
    TomlError.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise TomlError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TomlError(f"{path}: is not UTF-8 text") from None
    except RecursionError:
        raise TomlError(f"{path}: lists or tables are nested too deep") from None
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(error), re.DOTALL)
        place, reason = (f"{path}:{match[2]}", match[1]) if match else (str(path), str(error))
        raise TomlError(f"{place}: not valid TOML: {reason}") from None
    places: dict[str, str] = {}
    for name, line in _lines(text):
        places.setdefault(name, f"{path}:{line}")
    return values, places


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Dotted name and line of every table and key of a valid TOML text.

    A statement ends at the first line with which its lines so far are TOML by themselves.
    """
    lines = text.split("\n")
    table = ""
    last: dict[str, int] = {}  # arrays of tables: the index of the latest table
    start = 0
    for end in range(1, len(lines) + 1):
        try:
            statement = tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        names = list(_names(statement))
        first = lines[start].lstrip()
        if header := first.startswith("["):
            if first.startswith("[["):
                yield names[-1], start + 1
                last[names[-1]] = last.get(names[-1], -1) + 1
            names = [_indexed(name, last) for name in names]
            table = names[-1] + "."
        for name in names:
            yield (name if header else table + name), start + 1
        start = end


def _indexed(name: str, last: Mapping[str, int]) -> str:
    """The ``name`` of a table with an index after each part that is an array of tables."""
    result = before = ""
    for part in name.split("."):
        before += part
        result += part + (f".{last[before]}" if before in last else "") + "."
        before += "."
    return result[:-1]


def _names(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")


_WORDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
}


def reason(error: Mapping[str, Any], table: type[BaseModel] | None, key: str) -> str:
    """What one of pydantic's errors means, for ``key`` of ``table``."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        return f"{shown(value)} is not one of {context['expected'].replace(chr(39), chr(34))}"
    if kind in ("greater_than_equal", "less_than_equal") and table:
        metadata = table.model_fields[key].metadata
        low = next(m.ge for m in metadata if hasattr(m, "ge"))
        high = next(m.le for m in metadata if hasattr(m, "le"))
        return f"must be from {low} to {high}, not {shown(value)}"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    if kind == "string_too_short":
        return "must not be empty"
    return f"must be {_WORDS[kind]}, not {shown(value)}" if kind in _WORDS else str(error["msg"])


def toml(value: object) -> str:
    """``value`` as the right side of a TOML assignment; a named tuple as its text."""
    if isinstance(value, str) and "\n" in value:
        lines = (json.dumps(line, ensure_ascii=False)[1:-1] for line in value.split("\n"))
        return '"""\n' + "\n".join(lines) + '"""'
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {toml(inner)}" for key, inner in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    bare = re.fullmatch(r"[\w-]+", name, re.ASCII)
    return name if bare else json.dumps(name, ensure_ascii=False)


def comment(text: str) -> list[str]:
    """``text`` as comment lines of at most 96 characters."""
    return textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# ")
