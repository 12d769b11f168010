"""The API command ``memcache`` (mod_memcache.c), which asks a real memcached.

``get``, ``set`` and ``delete``; the protocol is memcached's own (doc/protocol.txt).
"""

from __future__ import annotations

import asyncio

from esl_controller.simulator.freeswitch.session import Switch

_USAGE = "-ERR\n[set|replace|add|get|getflags|delete|increment|decrement|flush|status]\n"
_NOT_FOUND = "-ERR NOT FOUND\n"


async def memcache(switch: Switch, arg: str) -> str:
    """The answer; without a memcached, that of a switch without the module."""
    if switch.memcached is None:
        return "-ERR memcache Command not found!\n"
    verb, _, rest = arg.partition(" ")
    key, _, value = rest.partition(" ")
    if verb not in ("get", "set", "delete") or not key:
        return _USAGE
    try:
        reader, writer = await asyncio.open_connection(*switch.memcached)
    except OSError:
        return "-ERR CONNECTION FAILURE\n"
    try:
        return await _ask(reader, writer, verb, key, value.strip("'"))
    finally:
        writer.close()
        await writer.wait_closed()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verb: str, key: str, value: str
) -> str:
    data = value.encode()
    asked = f"set {key} 0 0 {len(data)}\r\n".encode() + data if verb == "set" else None
    writer.write((asked or f"{verb} {key}".encode()) + b"\r\n")
    first = (await reader.readline()).split()
    if verb != "get":
        return "+OK\n" if first in ([b"STORED"], [b"DELETED"]) else _NOT_FOUND
    if first[:1] != [b"VALUE"]:
        return _NOT_FOUND
    return (await reader.readexactly(int(first[3]))).decode()
