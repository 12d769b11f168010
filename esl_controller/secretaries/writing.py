"""Writing a secretary for people: its values in effect, or a new file to fill in."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from esl_controller.config.toml_file import comment, toml
from esl_controller.secretaries.reading import tables
from esl_controller.secretaries.secretary import Secretary


def describe(secretary: Secretary, source: str, places: Mapping[str, str]) -> str:
    """The values in effect as TOML, each with its source; ``places`` as in ``Reading``."""
    effective = {
        "greeting": secretary.spoken_greeting,
        "farewell": secretary.spoken_farewell,
        "hours.say": secretary.spoken_closed,
        "tools.enabled": secretary.enabled_tools,
    }
    head = f"# Effective values: the defaults, {source}."
    return "\n".join([head, *_values(secretary, "", places, effective)]) + "\n"


def _values(
    table: BaseModel, prefix: str, places: Mapping[str, str], effective: Mapping[str, Any]
) -> Iterator[str]:
    """The lines of ``table``: its values, then its tables."""
    inner: list[tuple[str, BaseModel]] = []
    for key, field in type(table).model_fields.items():
        name = prefix + key
        written = getattr(table, key)
        value = effective.get(name, written)
        if field.description:
            source = places.get(name, "default") if value == written else "default"
            yield f"# {key} is not set" if value is None else f"{key} = {toml(value)}  # {source}"
        elif isinstance(value, BaseModel):
            inner.append((name, value))
        else:
            inner += [(f"{name}.{index}", item) for index, item in enumerate(value)]
    for name, value in inner:
        title = re.sub(r"\.\d+", "", name)
        yield from ("", f"[[{title}]]" if name[-1].isdigit() else f"[{title}]")
        yield from _values(value, f"{name}.", places, effective)


def template(given: Mapping[str, str]) -> str:
    """A file with every key and its help: the ``given`` keys, and all others commented out."""
    head = """\
        # A secretary. Every line that begins with # and no space after it is a default or an
        # example; remove the # to change it.
        # After saving it, run: esl-controller secretary check"""
    lines = textwrap.dedent(head).split("\n")
    for title, table in tables():
        lines.append("")
        # A list of tables is an example: its heading is commented out, too.
        off = "#" if title.startswith("[[") else ""
        if title:
            lines += [*comment(str(table.__doc__)), off + title]
        lines += _keys(table, given if not title else {})
    return "\n".join(lines) + "\n"


def _keys(table: type[BaseModel], given: Mapping[str, str]) -> Iterator[str]:
    for key, field in table.model_fields.items():
        if not field.description:  # it is a table
            continue
        yield from comment(field.description)
        if key in given:
            yield f"{key} = {toml(given[key])}"
        else:
            example = field.examples[0] if field.examples else field.default
            yield textwrap.indent(f"{key} = {toml(example)}", "#", lambda line: True)
