"""``esl-controller calls``: what the running controller says of its calls."""

from __future__ import annotations

import json
import sys
from http.client import HTTPException
from typing import Any
from urllib.request import ProxyHandler, build_opener

from esl_controller.settings import Settings

TIMEOUT_S = 5.0
_COLUMNS = ("call_uuid", "age_s", "caller", "number", "codec", "state", "hearing", "speaking_by")


def list_calls(settings: Settings, *, url: str | None, as_json: bool) -> int:
    """Print the live calls; 1 if the controller cannot be asked. ``url``: its web address."""
    host = "127.0.0.1" if settings.web.host in ("0.0.0.0", "::") else settings.web.host  # noqa: S104
    base = (url or f"http://{host}:{settings.web.port}").rstrip("/")
    try:
        # No proxy: the controller is on this machine or in its network.
        with build_opener(ProxyHandler({})).open(f"{base}/calls", timeout=TIMEOUT_S) as reply:
            told = json.load(reply)
        printed = json.dumps(told, indent=2) if as_json else _table(told)
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        print(
            f"esl-controller calls: no answer from {base}: {error}. Is the controller running, and"
            " is this its [web] address (--url)?",
            file=sys.stderr,
        )
        return 1
    print(printed)
    return 0


def _table(told: dict[str, Any]) -> str:
    calls = told["calls"]
    rows = [_COLUMNS, *(tuple(str(call[name]) for name in _COLUMNS) for call in calls)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows] if calls else []
    return "\n".join([*lines, f"{len(calls)} live, {told['taken']} taken since the start"])
