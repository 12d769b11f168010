"""A model that sends whatever a test wants, from a process of its own: a thread would hold the
interpreter while it sends, and what is measured is the controller's loop."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.paths import ROOT

ANSWERS = {
    "session.update": json.dumps({"type": "session.updated", "session": {"type": "realtime"}}),
    "session.start": json.dumps({"type": "session.started", "session": {"id": "s"}}),  # GPT-Live
}
SPEAK = ("response.create", "session.commentary.append")


@dataclass
class HostileModel:
    """``sent`` is set once everything was sent, or the controller has closed the connection."""

    base_url: str
    sent: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def hostile(messages: Sequence[str]) -> Iterator[HostileModel]:
    """A model of either API that does ``messages`` when it is told to speak for the first time."""
    command = [sys.executable, "-m", "tests.calls.hostile"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = process.stdout
        json.dump(messages, process.stdin)
        process.stdin.close()
        model = HostileModel(f"http://127.0.0.1:{told.readline().strip()}/v1")

        def wait_sent() -> None:
            if told.readline():
                model.sent.set()

        waiting = threading.Thread(target=wait_sent)
        waiting.start()
        try:
            yield model
        finally:
            process.terminate()
            waiting.join()


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def main() -> None:
    """Send what stands on standard input; say the port, and when everything was sent."""
    messages = json.load(sys.stdin)
    sent = threading.Event()

    def answer(socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for raw in socket:
                kind = json.loads(raw)["type"]
                if kind in ANSWERS:
                    socket.send(ANSWERS[kind])
                elif kind in SPEAK and not sent.is_set():
                    sent.set()
                    try:
                        for message in messages:
                            socket.send(message)
                    finally:
                        print("sent", flush=True)

    with serve(answer, "127.0.0.1", 0, max_size=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
