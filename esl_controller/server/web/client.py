"""``esl-controller calls`` and ``drain`` ask the running controller over HTTP."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from esl_controller.config.settings import Settings
from esl_controller.config.terminal import table

TIMEOUT_S = 5.0
POLL_S = 0.5
CONFLICT = 409
_NO_ANSWER = (OSError, HTTPException, ValueError, KeyError, TypeError)  # or not a controller's
_COLUMNS = ("call_uuid", "age_s", "caller", "number", "codec", "state", "hearing", "speaking_by")


def list_calls(settings: Settings, *, url: str | None, as_json: bool) -> int:
    """Print the live calls; 1 if the controller cannot be asked. ``url``: its web address."""
    base = base_url(settings, url)
    try:
        told = ask(f"{base}/calls")
        printed = json.dumps(told, indent=2) if as_json else _table(told)
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
        left = ask(f"{base}/drain?limit_s={limit_s:g}", method="POST")["calls"]
    except HTTPError as error:
        why = "it is already stopping" if error.code == CONFLICT else str(error)
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
            now = len(ask(f"{base}/calls")["calls"])
            if now != left:
                left = now
                print(f"{left} live", flush=True)
    print("the controller has ended")
    return 0


def base_url(settings: Settings, url: str | None = None) -> str:
    """``url``, or that of [web], without a slash at its end."""
    return (url or settings.web.base_url()).rstrip("/")


def ask(url: str, method: str = "GET") -> dict[str, Any]:
    """The JSON object that comes back. Raises OSError, HTTPException, ValueError."""
    # No proxy: the controller is on this machine or in its network.
    opener = build_opener(ProxyHandler({}))
    with opener.open(Request(url, method=method), timeout=TIMEOUT_S) as reply:  # noqa: S310
        told: dict[str, Any] = json.load(reply)
        return told


def _table(told: dict[str, Any]) -> str:
    calls = told["calls"]
    rows = [_COLUMNS, *(tuple(str(call[name]) for name in _COLUMNS) for call in calls)]
    return "\n".join(
        [
            *([table(rows)] if calls else []),
            f"{len(calls)} live, {told['taken']} taken since the start",
        ]
    )
