"""``esl-controller calls``, ``calls show`` and ``calls recent``, and whom ``drain`` asks."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

from esl_controller.config.settings import Settings
from esl_controller.config.terminal import json_text
from esl_controller.store import StoreError, reading
from esl_controller.store.current_calls import as_dict, as_table, living
from esl_controller.store.records import Heartbeat
from esl_controller.store.timeline import table, timeline


def show_call(settings: Settings, call_uuid: str, *, as_json: bool) -> int:
    """Print the record of a call. Returns 1, and prints why, if there is none."""
    return _print(_call(settings.store.url, call_uuid, as_json=as_json))


def show_recent(settings: Settings, limit: int, *, as_json: bool) -> int:
    """Print the last ``limit`` calls, the newest first. Returns 1, and prints why, if it cannot."""
    return _print(_recent(settings.store.url, limit, as_json=as_json))


def show_current(settings: Settings, *, as_json: bool) -> None:
    """Print the current calls and the controllers on the record. Raises StoreError."""
    print(asyncio.run(_current(settings.store.url, as_json=as_json)))


def web_address(settings: Settings, name: str) -> str:
    """The web address of the controller ``name`` on this machine. Raises StoreError."""
    found = {each.name: each for each in asyncio.run(_controllers(settings.store.url))}
    if name not in found:
        listed = ", ".join(found) or "none"
        raise StoreError(f"no controller {name} is running; there are: {listed}")
    host = name.rpartition(":")[0]
    if host != socket.gethostname():
        raise StoreError(f"{name} has to be drained on its own machine, {host}")
    return found[name].web


async def _controllers(url: str) -> list[Heartbeat]:
    async with reading(url) as reader:
        return living(await reader.controllers(), time.time())


async def _current(url: str, *, as_json: bool) -> str:
    async with reading(url) as reader:
        # Controllers first: a call that arrives in between is then listed as new, not missed.
        controllers = await reader.controllers()
        listed = as_dict(await reader.unfinished(), controllers, time.time())
    return json_text(listed) if as_json else as_table(listed)


async def _call(url: str, call_uuid: str, *, as_json: bool) -> str:
    async with reading(url) as reader:
        call = await reader.call(call_uuid)
    if call is None:
        raise StoreError(f"there is no call {call_uuid} in the record")
    return json_text(call.as_dict()) if as_json else timeline(call)


async def _recent(url: str, limit: int, *, as_json: bool) -> str:
    async with reading(url) as reader:
        calls = await reader.recent(limit)
    return json_text([asdict(call) for call in calls]) if as_json else table(calls)


def _print(text: Coroutine[Any, Any, str]) -> int:
    try:
        print(asyncio.run(text))
    except StoreError as error:
        print(f"esl-controller calls: {error}", file=sys.stderr)
        return 1
    return 0
