"""Text as FreeSWITCH reads it: what counts as true, which number it is, what stands for more."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_EXPANSION = re.compile(r"\\\$|\$\{(\w+)\(((?:[^${}]|\$\{\w+\})*)\)\}|\$\{([^{}]*)\}")
_TRUE = ("yes", "on", "true", "t", "enabled", "active", "allow", "1")


def is_true(text: str) -> bool:
    """Whether FreeSWITCH takes a value for true (``switch_true``)."""
    return text.lower() in _TRUE


def atoi(text: str) -> int:
    """The number that C's ``atoi`` reads: leading digits with a sign, 0 if there are none."""
    digits = text.strip()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    end = next((i for i, c in enumerate(digits) if not c.isascii() or not c.isdigit()), len(digits))
    return sign * int(digits[:end] or 0)


def expand(text: str, variables: Mapping[str, str], api: Callable[[str, str], str]) -> str:
    """Replace ``${name}`` with the variable, with nothing where it is not set, and
    ``${name(argument)}`` with what that API command says; of a ``\\${name}`` the backslash goes
    only (``switch_channel_expand_variables_check``)."""

    def value(found: re.Match[str]) -> str:
        command, argument, name = found.groups()
        if command is not None:
            return api(command, expand(argument, variables, api))
        return "$" if name is None else variables.get(name, "")

    return _EXPANSION.sub(value, text) if "${" in text else text
