"""After a change in the tables: the switch drops its cache, and is asked what it serves now.

A lookup by ``xml_locate`` names no caller, and FusionPBX answers it as if it were for the context
``public``. So FusionPBX cannot be asked what it serves in another context; a plain FreeSWITCH can
(docs/design/fusionpbx.md#what-is-served).
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from esl_controller.config.settings import FreeswitchSettings
from esl_controller.freeswitch import wire
from esl_controller.freeswitch.esl import GenesisError, Inbound
from esl_controller.freeswitch.leg import CallFailed, event_socket
from esl_controller.freeswitch.wire import Command
from esl_controller.fusionpbx import cache
from esl_controller.fusionpbx.cache import Cached
from esl_controller.fusionpbx.config import Config
from esl_controller.fusionpbx.errors import FusionError, shown
from esl_controller.fusionpbx.extension import catches, parsed, same, uuid_in
from esl_controller.fusionpbx.rows import Dialplan

ANSWER_S = 30.0  # reading all XML of a large installation takes less
SendCommand = Callable[[Command], Awaitable[str]]
"""Sends FreeSWITCH an Event Socket command, and returns the reply. Raises FusionError."""


@dataclass(frozen=True)
class Step:
    """Something that was done or checked; ``right`` is None if it could not be."""

    right: bool | None
    text: str


@asynccontextmanager
async def commands(config: Config, there: FreeswitchSettings) -> AsyncIterator[SendCommand]:
    """A connection to the Event Socket that FusionPBX's file names, or else to that of our
    settings. Raises FusionError."""
    own = config.event_socket
    known = there.model_copy(
        update={
            "host": own.host or there.host,
            "port": own.port or there.port,
            "password": SecretStr(own.password) if own.password else there.password,
        }
    )
    try:
        async with event_socket(known) as connection:

            async def command(text: Command) -> str:
                return await _command(connection, text)

            yield command
    except CallFailed as error:
        refused, password, _ = str(error).partition("refused the password")
        if password and own.password:
            where = f"switch.event_socket.password in {shown(config.path)}"
            raise FusionError(f"{refused}{password}: {where} is not FreeSWITCH's") from None
        raise FusionError(str(error)) from None


async def _command(connection: Inbound, text: Command) -> str:
    try:
        async with asyncio.timeout(ANSWER_S):
            reply = await connection.send(text)
    except TimeoutError:
        told = text.partition("\n")[0]
        raise FusionError(f"FreeSWITCH did not answer {told!r} in {ANSWER_S:g} s.") from None
    except GenesisError as error:
        raise FusionError(f"the connection to FreeSWITCH was lost: {error}") from None
    return (reply.body or str(reply.get("Reply-Text", ""))).strip()


def by_hand(config: Config, contexts: Iterable[str]) -> Iterator[str]:
    """The commands for an operator, if FreeSWITCH cannot be reached from here."""
    for context in contexts:
        try:
            key = cache.key(context)
        except FusionError as error:
            yield str(error)
            continue
        if config.cache_method == "file":
            yield f"rm -f {shlex.quote(str(cache.file_of(config, context)))}"
        else:
            yield f"fs_cli -x {shlex.quote(f'memcache delete {key}')}"
    yield "fs_cli -x reloadxml"


async def forget(command: SendCommand, config: Config, context: str) -> AsyncIterator[Step]:
    """Have FreeSWITCH and the other nodes drop a context from the cache. Raises FusionError."""
    try:
        key = cache.key(context)
    except FusionError as error:
        yield Step(False, str(error))
        return
    if config.cache_method == "file":
        event = ("fusion::file", "cache", key.replace(":", "."))
    else:
        event = ("fusion::memcache", "memcache", key)
        reply = await command(wire.api("memcache", "delete", key))
        if reply.startswith("+OK") or "NOT FOUND" in reply:
            yield Step(True, f"the cache has no {key} any more (memcache)")
        else:
            yield Step(False, f"memcache delete {key}: {shown(reply)}; is mod_memcache loaded?")
    subclass, name, gone = event
    told = {
        "Event-Subclass": subclass,
        "API-Command": name,
        "API-Command-Argument": f"delete {gone}",
    }
    reply = await command(wire.sendevent("CUSTOM", told))
    right = reply.startswith("+OK")
    yield Step(right, f"other nodes are told ({subclass})" + ("" if right else f": {shown(reply)}"))


async def reload(command: SendCommand) -> Step:
    """Have FreeSWITCH read its XML again. Raises FusionError."""
    reply = await command(wire.api("reloadxml"))
    right = reply.startswith("+OK")
    return Step(right, "reloadxml" if right else f"reloadxml: {shown(reply)}")


async def memcached(command: SendCommand, context: str) -> Cached | None:
    """What memcache holds of a context, None if nothing. Raises FusionError."""
    reply = await command(wire.api("memcache", "get", cache.key(context)))
    if "NOT FOUND" in reply[:40]:
        return None
    if reply.startswith("-ERR"):
        raise FusionError(f"memcache get: {shown(reply)}; is mod_memcache loaded?")
    # Undo FusionPBX's escaping (functions/cache.lua).
    return Cached(reply.replace("&#39;", "'").replace("\\\\", "\\"), None)


async def look(command: SendCommand, row: Dialplan, *, installed: bool = True) -> Step:
    """Whether the switch serves ``row``; if not ``installed``: whether it no longer does.

    Raises FusionError.
    """
    cache.key(row.context)  # refuses a context that must not stand in a command
    answer = await command(wire.api("xml_locate", "dialplan", "context", "name", row.context))
    if "<context" not in answer:
        return Step(
            None,
            f"what the switch serves in {row.context} cannot be checked (FusionPBX tells it only of"
            f" the context public): try esl-controller call {row.number} --context {row.context}",
        )
    return served(answer, row) if installed else _gone(answer, row)


def served(xml: str, row: Dialplan) -> Step:
    """Whether a call to the row's number reaches it in the dialplan ``xml``."""
    ours = parsed(row.xml)
    for extension in parsed(xml):
        if uuid_in(extension) == str(row.uuid):
            if len(ours) == 1 and same(extension, ours[0]):
                return Step(True, f"the switch serves it: {row.number} in {row.context}")
            return Step(False, f"the switch serves another version of {row.number}: a stale cache")
        if catches(extension, row.number).sure:
            name = shown(extension.get("name", ""))
            return Step(False, f"the switch gives {row.number} to another extension: {name}")
    return Step(False, f"the switch does not serve {row.number} in {row.context}")


def _gone(xml: str, row: Dialplan) -> Step:
    if any(uuid_in(extension) == str(row.uuid) for extension in parsed(xml)):
        return Step(False, f"the switch still serves {row.number}: a stale cache")
    return Step(True, f"the switch does not serve {row.number} any more")
