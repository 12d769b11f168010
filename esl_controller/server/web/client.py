"""``esl-controller calls`` and ``drain`` ask the running controller over HTTP."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from esl_controller.config.settings import Settings
from esl_controller.config.terminal import table
from esl_controller.server.web.local_socket import LocalConnection

TIMEOUT_S = 5.0
POLL_S = 0.5
BAD_REQUEST = 400
CONFLICT = 409
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NO_ANSWER = (OSError, HTTPException, ValueError, KeyError, TypeError)  # or not a controller's
_COLUMNS = ("call_uuid", "age_s", "caller", "number", "codec", "state", "hearing", "speaking_by")


def list_calls(settings: Settings, *, url: str | None, as_json: bool) -> int:
    """Print the live calls; 1 if the controller cannot be asked. ``url``: its web address."""
    base = base_url(settings, url)
    try:
        told = ask(settings, f"{base}/calls")
        printed = json.dumps(told, indent=2) if as_json else _table(told)
    except Refused as error:
        print(f"esl-controller calls: refused by {base}: {error}", file=sys.stderr)
        return 1
    except _NO_ANSWER as error:
        print(
            f"esl-controller calls: no answer from {base}: {error}. Is the controller running, and"
            " is this its [web] address (--url)?",
            file=sys.stderr,
        )
        return 1
    print(printed)
    return 0


def drain(settings: Settings, *, limit_s: float, url: str | None = None) -> int:
    """Have a controller on this machine take no more calls, and end once its live ones are over.
    Waits for that, and prints how many are left. 1 if it cannot be asked. ``url``: its web
    address."""
    base = base_url(settings, url)
    try:
        left = ask(settings, f"{base}/drain?limit_s={limit_s:g}", method="POST")["calls"]
    except Refused as error:
        why = "it is already stopping" if error.status == CONFLICT else str(error)
        print(f"esl-controller drain: not accepted: {why}", file=sys.stderr)
        return 1
    except _NO_ANSWER as error:
        print(
            f"esl-controller drain: no answer from {base}: {error}. Is the controller running on"
            " this machine, and is this its [web] address?",
            file=sys.stderr,
        )
        return 1
    print(f"no more calls are taken; {left} live")
    with contextlib.suppress(*_NO_ANSWER):
        while True:  # until it does not answer any more
            time.sleep(POLL_S)
            now = len(ask(settings, f"{base}/calls")["calls"])
            if now != left:
                left = now
                print(f"{left} live", flush=True)
    print("the controller has ended")
    return 0


def base_url(settings: Settings, url: str | None = None) -> str:
    """``url``, or that of [web], without a slash at its end."""
    return (url or settings.web.base_url()).rstrip("/")


class Refused(HTTPException):
    """Whoever listens there does not do what it was asked; the text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"{status} {why}")
        self.status = status


def ask(settings: Settings, url: str, method: str = "GET") -> dict[str, Any]:
    """The JSON object that comes back: by the local socket of a controller on this machine, else
    over TCP with [web] token. Raises Refused, OSError, HTTPException, ValueError."""
    at = urlsplit(url)
    target = f"{at.path}?{at.query}" if at.query else at.path
    token = settings.web.token.get_secret_value()
    with contextlib.closing(_connection(url, settings.web.host)) as there:
        there.request(method, target, headers={"Authorization": f"Bearer {token}"} if token else {})
        reply = there.getresponse()
        body = reply.read()
        if reply.status >= BAD_REQUEST:
            line, *_ = body.decode(errors="replace").splitlines() or [""]
            raise Refused(reply.status, line[:200] or reply.reason)
        told: dict[str, Any] = json.loads(body)
        return told


def _connection(url: str, own_host: str) -> HTTPConnection:
    """A connection to a controller, made if it is one to the local socket. ``own_host``: where a
    controller of this machine listens."""
    at = urlsplit(url)
    if not at.hostname:
        raise ValueError(f"{url} is no web address such as http://127.0.0.1:8023")
    here = at.hostname in (*LOOPBACK, own_host.lower())
    if here and at.port and at.scheme == "http":
        local = LocalConnection(at.hostname, at.port, timeout=TIMEOUT_S)
        with contextlib.suppress(OSError, AttributeError):  # there is none, or no such sockets here
            local.connect()
            return local
    kind = HTTPSConnection if at.scheme == "https" else HTTPConnection
    return kind(at.hostname, at.port, timeout=TIMEOUT_S)


def _table(told: dict[str, Any]) -> str:
    calls = told["calls"]
    rows = [_COLUMNS, *(tuple(str(call[name]) for name in _COLUMNS) for call in calls)]
    return "\n".join(
        [
            *([table(rows)] if calls else []),
            f"{len(calls)} live, {told['taken']} taken since the start",
        ]
    )
