"""The types of the command line's arguments: each makes a value of a text.

Each raises argparse.ArgumentTypeError with one line that says what is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path


def _checked(text: str, pattern: str, expected: str) -> str:
    if not re.fullmatch(pattern, text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return text


def number(text: str) -> str:
    """A number that a dialplan can have."""
    return _checked(text, r"[\w*#+.-]{1,64}", "made of letters, digits and _ * # + . - only")


def uuid(text: str) -> str:
    """A UUID, in lower case."""
    return _checked(text, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a UUID").lower()


def call_uuid(text: str) -> str:
    """A call's UUID, as FreeSWITCH writes it: in either case."""
    uuid(text)
    return text


def person(text: str) -> str:
    """The name of a secretary."""
    return _checked(text, r"[^\x00-\x1f\x7f-\xa0]{1,100}", "a name")


def language(text: str) -> str:
    """A language tag."""
    return _checked(text, r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", "a language tag such as pt-BR")


def domain(text: str) -> str:
    """The name or UUID of a FusionPBX domain."""
    return _checked(text, r"[A-Za-z0-9._-]{1,253}", "a domain's name or uuid")


def order(text: str) -> int:
    """The order of a FusionPBX dialplan, 0 to 999."""
    return int(_checked(text, r"\d{1,3}", "a number from 0 to 999"))


def workers(text: str) -> int:
    """How many processes: 1 to 64, or as many as there are processors for us."""
    if text == "auto":
        return len(os.sched_getaffinity(0))
    number = int(_checked(text, r"\d{1,2}", "auto or a number from 1 to 64"))
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError(f"{number} is not from 1 to 64")
    return number


def http_url(text: str) -> str:
    """An http:// or https:// URL."""
    return _checked(text, r"https?://[^\s/]+(/[^\s]*)?", "an http:// or https:// URL")


def limit(text: str) -> int:
    """How many, 1 to 9999."""
    return int(_checked(text, r"[1-9]\d{0,3}", "a number from 1 to 9999"))


def seconds(text: str) -> float:
    """Seconds, 1 to 3600."""
    seconds = float(_checked(text, r"\d{1,5}(\.\d+)?", "a number of seconds"))
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 3600 seconds")
    return seconds


def file(text: str) -> Path:
    """A file that exists."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return Path(text)


def new_file(text: str) -> Path:
    """A file to write: its directory exists."""
    if Path(text).is_dir() or not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write to {text!r}: no such directory, or one")
    return Path(text)


def directory(text: str) -> Path:
    """A directory, which may still have to be made."""
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a directory")
    return Path(text)
