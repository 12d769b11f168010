"""TOML files that people write: reading values with their lines, plain errors, and writing."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from esl_controller.config.setting_types import shown

FILE_LIMIT = 262_144  # bytes: read in a second; the largest texts of a secretary have 100,000
DEPTH_LIMIT = 32  # parts of a dotted key, brackets within each other; each part costs all before it
WORD_LIMIT = 400  # characters of a number or a bare key
# Tables and keys. What is wrong with all of them is found in one piece of work that no other thread
# interrupts: 37 ms for 20,000.
KEYS_LIMIT = 5_000
MISTAKES_LIMIT = 20  # told of one file; each costs a search for what was meant

_INTEGERS = range(-(2**63), 2**63)  # those that TOML 1.0 has
_TOKEN = re.compile(
    r"""
      (?P<string>
          \"\"\" (?: [^"\\]++ | \\. | "(?!"") )*+ "{3,5}
        | ''' (?: [^']++ | '(?!'') )*+ '{3,5}
        | " (?: [^"\\\n]++ | \\. )*+ "
        | ' [^'\n]*+ '
      )
    | (?P<comment> \#[^\n]*+ (?: \n [ \t]*+ \# [^\n]*+ )*+ )
    | (?P<open> [\[{] ) | (?P<close> [\]}] ) | (?P<dot> \. ) | (?P<mark> [=,] )
    | (?P<end> \n (?: [ \t]*+ \n )*+ )
    | (?P<space> [ \t]++ )
    | (?P<word> [^"'\#\[\]{}.\n=,\ \t]++ )
    """,
    re.DOTALL | re.VERBOSE,
)


# Most statements are one such line, which is known by one look instead of six and two parsers.
_PLAIN = re.compile(r"""([\w-]{1,400})[ \t]*=[ \t]*(?:"[^"\\\n]*+"|true|false)[ \t]*\n""", re.ASCII)


class TomlError(Exception):
    """A file is not TOML, or cannot be read; the text is one line with the place."""


def read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The file's tables, and "FILE:LINE" for every table and key in it.

    A key's name is dotted, with the index of an array's table: ``tools.webhooks.0.url``. Raises
    TomlError. Takes time in proportion to the file's size, whatever is in it.
    """
    text = _text(path)
    statements = list(_statements(text, path))
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(error), re.DOTALL)
        place, reason = (f"{path}:{match[2]}", match[1]) if match else (str(path), str(error))
        raise TomlError(f"{place}: not valid TOML: {reason}") from None
    except ValueError as error:  # a date or a time that does not exist
        raise TomlError(f"{path}: not valid TOML: {error}") from None
    places: dict[str, str] = {}
    for name, line in _lines(statements, path):
        places.setdefault(name, f"{path}:{line}")
        if len(places) > KEYS_LIMIT:
            raise TomlError(f"{path}:{line}: has more than {KEYS_LIMIT} tables and keys")
    return values, places


def _text(path: Path) -> str:
    """What is in the file, without a byte order mark."""
    try:
        # A FIFO would wait here for somebody who writes to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISDIR(mode):
                raise TomlError(f"{path}: {os.strerror(errno.EISDIR)}")
            if not stat.S_ISREG(mode):
                raise TomlError(f"{path}: is not a file, but a pipe or a device")
            data = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise TomlError(f"{path}: {error.strerror}") from None
    if len(data) > FILE_LIMIT:
        raise TomlError(f"{path}: has more than {FILE_LIMIT} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TomlError(f"{path}: is not UTF-8 text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _statements(text: str, path: Path) -> Iterator[tuple[int, str]]:
    """The line of each statement and its text, as far as ``text`` is TOML.

    Raises TomlError for what takes ``tomllib`` more time than its size accounts for.
    """
    line = begin = 1
    start = depth = dots = end = 0
    while True:
        while start == end and (plain := _PLAIN.match(text, end)):
            yield line, plain[0]
            line, start = line + 1, plain.end()
            begin, end = line, start
        if (token := _TOKEN.match(text, end)) is None:
            break
        end = token.end()
        kind = token.lastgroup
        if kind == "dot":
            dots += 1
        elif kind not in ("space", "string", "word"):
            dots = 0
        depth += (kind == "open") - (kind == "close")
        if max(depth, dots) > DEPTH_LIMIT:
            raise TomlError(f"{path}:{line}: lists, tables or keys are nested too deep")
        if kind == "word" and len(token[0]) > WORD_LIMIT:
            raise TomlError(
                f"{path}:{line}: not valid TOML: a number or a key of {len(token[0])} characters"
            )
        line += token[0].count("\n")
        if kind == "end" and depth <= 0:
            yield begin, text[start:end]
            begin, start = line, end
    yield begin, text[start:]


def _lines(statements: Iterable[tuple[int, str]], path: Path) -> Iterator[tuple[str, int]]:
    """Dotted name and line of every table and key of a valid TOML text."""
    table = ""
    last: dict[str, int] = {}  # arrays of tables: the index of the latest table
    for line, text in statements:
        if not (stripped := text.strip()) or stripped[0] == "#":  # then it is nothing but that
            continue
        if plain := _PLAIN.fullmatch(text):
            yield table + plain[1], line
            continue
        statement = tomllib.loads(text)
        _check_integers(statement, f"{path}:{line}")
        names = list(_names(statement))
        if header := stripped.startswith("["):
            if stripped.startswith("[["):
                yield names[-1], line
                last[names[-1]] = last.get(names[-1], -1) + 1
            names = [_indexed(name, last) for name in names]
            table = names[-1] + "."
        for name in names:
            yield (name if header else table + name), line


def _check_integers(value: object, place: str) -> None:
    if isinstance(value, int) and value not in _INTEGERS:
        raise TomlError(f"{place}: not valid TOML: an integer of more than 64 bits")
    for inner in value.values() if isinstance(value, dict) else ():
        _check_integers(inner, place)
    for inner in value if isinstance(value, list) else ():
        _check_integers(inner, place)


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
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries"
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
    return textwrap.wrap(" ".join(text.split()), 96, initial_indent="# ", subsequent_indent="# ")
