"""A model that sends whatever a test wants, from a thread of its own: what it costs to send is not
counted against the controller."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

CONFIRMED = json.dumps({"type": "session.updated", "session": {"type": "realtime"}})


@dataclass
class HostileModel:
    """Answers the first ``response.create`` with ``messages``; ``sent`` is set after that."""

    messages: Sequence[str]
    base_url: str = ""
    sent: threading.Event = field(default_factory=threading.Event)

    def serve(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for raw in socket:
                kind = json.loads(raw)["type"]
                if kind == "session.update":
                    socket.send(CONFIRMED)
                elif kind == "response.create" and not self.sent.is_set():
                    for message in self.messages:
                        socket.send(message)
                    self.sent.set()


@contextlib.contextmanager
def hostile(messages: Sequence[str]) -> Iterator[HostileModel]:
    model = HostileModel(messages)
    server: Server
    with serve(model.serve, "127.0.0.1", 0, max_size=None) as server:
        model.base_url = f"http://127.0.0.1:{server.socket.getsockname()[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield model
        server.shutdown()
        thread.join(5)


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})
