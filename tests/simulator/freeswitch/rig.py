"""The controller's side of the wire, by hand, for the tests of the FreeSWITCH stand-in."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
from aiohttp import WSCloseCode, web

from esl_controller.simulator.freeswitch import DialplanAction
from tests.paths import CAPTURES

TIMEOUT = 3.0
AGENT = {"1001": (DialplanAction("answer"), DialplanAction("playback", "silence_stream://-1"))}
"""The extension of the captures that answers and says nothing."""


@dataclass
class Message:
    """One message of FreeSWITCH, taken apart; an event's headers are its body's."""

    content_type: str
    headers: list[tuple[str, str]]
    body: str
    raw: str

    def get(self, name: str) -> str:
        """The decoded value of a header, or nothing."""
        return next((unquote(v) for n, v in self.headers if n == name), "")

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.headers}

    @property
    def kind(self) -> str:
        """``reply``, ``event`` or ``notice``: three streams, each in its own order."""
        if self.content_type in ("command/reply", "api/response", "auth/request"):
            return "reply"
        return "event" if self.content_type.startswith("text/event") else "notice"

    @property
    def label(self) -> str:
        return self.get("Event-Subclass") or self.get("Event-Name") or self.content_type


def parse(text: str, *, strict: bool = True) -> Message:
    """A message as its raw text; ``strict`` checks every length that it states.

    Not for the captures: where a path was replaced in them, an inner length was not.
    """
    head, _, body = text.partition("\n\n")
    outer = _headers(head)
    content_type = dict(outer).get("Content-Type", "")
    if content_type.startswith("text/event"):
        assert dict(outer)["Content-Length"] == str(len(body.encode())), "Content-Length of event"
        head, _, body = body.partition("\n\n")
        inner = _headers(head)
        if body and strict:
            assert dict(inner)["Content-Length"] == str(len(body.encode())), "length of its body"
        return Message(content_type, inner, body, text)
    if body:
        assert dict(outer)["Content-Length"] == str(len(body.encode())), "Content-Length"
    return Message(content_type, outer, body, text)


def _headers(head: str) -> list[tuple[str, str]]:
    rows = []
    for line in head.split("\n"):
        name, separator, value = line.partition(": ")
        assert separator, f"no header: {line!r}"
        rows.append((name, value))
    return rows


class Controller:
    """One Event Socket connection, seen from the peer of FreeSWITCH."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.replies: asyncio.Queue[Message] = asyncio.Queue()
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        self.notices: asyncio.Queue[Message] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.broken = False
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readuntil(b"\n\n")
                length = 0
                for line in head.decode().split("\n"):
                    if line.startswith("Content-Length: "):
                        length = int(line.partition(": ")[2])
                body = await self._reader.readexactly(length)
                message = parse((head + body).decode())
                queues = {"reply": self.replies, "event": self.events, "notice": self.notices}
                queues[message.kind].put_nowait(message)
        except asyncio.IncompleteReadError as error:
            self.broken = bool(error.partial)
        except (ConnectionError, ValueError, AssertionError):
            self.broken = True
        finally:
            self.ended.set()

    def send(self, text: str) -> None:
        if self.writer.is_closing():
            return
        self.writer.write(text.encode() if text.endswith("\n\n") else text.encode() + b"\n\n")

    async def ask(self, text: str) -> Message:
        """Send a command and wait for its reply."""
        self.send(text)
        return await self.reply()

    async def api(self, text: str) -> str:
        return (await self.ask(f"api {text}")).body

    async def reply(self) -> Message:
        return await asyncio.wait_for(self.replies.get(), TIMEOUT)

    async def notice(self) -> Message:
        return await asyncio.wait_for(self.notices.get(), TIMEOUT)

    async def event(self, label: str = "") -> Message:
        """The next event, or the next one of that name or subclass."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                message = await self.events.get()
                if label in ("", message.label):
                    return message

    async def execute(self, app: str, arg: str = "", extra: str = "") -> Message:
        argument = f"execute-app-arg: {arg}\n" if arg else ""
        text = f"sendmsg\ncall-command: execute\nexecute-app-name: {app}\n{argument}{extra}"
        return await self.ask(text.rstrip("\n"))

    async def hangup(self, cause: str = "NORMAL_CLEARING") -> None:
        await self.ask(f"sendmsg\ncall-command: hangup\nhangup-cause: {cause}")

    async def open_call(self, events: str = "all") -> str:
        """connect, linger, events, answer; the call's uuid."""
        data = await self.ask("connect")
        await self.ask("linger")
        await self.ask("myevents")
        await self.ask(f"event plain {events}")
        await self.execute("answer")
        done = await self.event("CHANNEL_EXECUTE_COMPLETE")
        assert done.get("Application") == "answer"
        return data.get("Unique-ID")

    async def unicast(self, local_port: int, remote_port: int, session: str = "") -> str:
        reply = await self.ask(
            f"sendmsg {session}".strip() + "\ncall-command: unicast\nlocal-ip: 127.0.0.1\n"
            f"local-port: {local_port}\nremote-ip: 127.0.0.1\nremote-port: {remote_port}\n"
            "transport: udp"
        )
        return reply.get("Reply-Text")

    def reset(self) -> None:
        """Cut the connection as a killed process does."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        self._task.cancel()
        await asyncio.wait((self._task,))


class ControllerServer:
    """Where the stand-in dials: hands out its connections one by one."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[Controller] = asyncio.Queue()
        self._all: list[Controller] = []
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def next(self, timeout: float = TIMEOUT) -> Controller:
        return await asyncio.wait_for(self.connections.get(), timeout)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        controller = Controller(reader, writer)
        self._all.append(controller)
        self.connections.put_nowait(controller)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[ControllerServer]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for controller in self._all:
                await controller.close()


async def dial(address: tuple[str, int]) -> Controller:
    """Connect to the Event Socket of the stand-in."""
    return Controller(*await asyncio.open_connection(*address))


@dataclass
class MediaServer:
    """The controller's media WebSocket: collects what comes, and misbehaves on demand."""

    port: int = 0
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    close_codes: list[int | None] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    admits: asyncio.Event = field(default_factory=asyncio.Event)
    """Connections wait until this is set, as it is at first."""

    async def _handle(self, request: web.Request) -> web.WebSocketResponse:
        await self.admits.wait()
        response = web.WebSocketResponse(compress=False)
        await response.prepare(request)
        self.requests.append(request)
        self.sockets.append(response)
        async for message in response:
            if isinstance(message.data, bytes):
                self.messages.append(message.data)
            else:
                self.texts.append(message.data)
            self.changed.set()
        self.close_codes.append(response.close_code)
        self.changed.set()
        return response

    def url(self, path: str = "/stream/d/x") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    @property
    def pcm(self) -> npt.NDArray[np.int16]:
        return np.frombuffer(b"".join(self.messages), np.int16)

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait until ``wanted()`` is true; it is asked after every message."""
        async with asyncio.timeout(TIMEOUT * 2):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()

    async def close_last(self) -> None:
        await self.sockets[-1].close(code=WSCloseCode.GOING_AWAY)

    def cut_last(self) -> None:
        transport = self.requests[-1].transport
        assert transport is not None
        transport.abort()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[MediaServer]:
        self.admits.set()
        app = web.Application()
        app.router.add_get("/stream/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


class LaneEnd:
    """Our end of a lane: a bound UDP socket that counts what comes."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    async def receive(self, timeout: float = TIMEOUT) -> bytes:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self._socket, 8192), timeout)

    def send(self, frame: bytes, port: int) -> None:
        self._socket.sendto(frame, ("127.0.0.1", port))

    def drain(self) -> list[bytes]:
        """What has come and was not received yet."""
        frames = []
        while True:
            try:
                frames.append(self._socket.recv(8192))
            except BlockingIOError:
                return frames

    def close(self) -> None:
        self._socket.close()


def free_udp_port() -> int:
    """A free port outside the range from which the system serves those who bind port 0."""
    for port in _lane_ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("endless")


_lane_ports = cycle(range(10000, 30000))
# Other test processes start elsewhere in the range.
next(islice(_lane_ports, random.randrange(20000), None))


def free_tcp_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def write_tone(path: Path, seconds: float) -> None:
    samples = (np.sin(np.arange(int(8000 * seconds)) / 3) * 8000).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def capture(name: str) -> list[dict[str, Any]]:
    """The lines of a capture."""
    lines = (CAPTURES / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
