"""``esl-controller calls`` and ``drain``, and controllers that answer nonsense or nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from esl_controller.config.loading import load
from esl_controller.server.web import client

SETTINGS = load(None, {}).settings
NAMES = ("call_uuid", "age_s", "caller", "number", "codec", "state", "hearing", "speaking_by")
CALL = dict.fromkeys(NAMES, "x")


class Answers(BaseHTTPRequestHandler):
    """Gives the next of these answers, and the last one again and again."""

    bodies: ClassVar[list[tuple[int, Any]]] = []

    def do_GET(self) -> None:
        status, body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def answering(*bodies: Any, status: int = 200) -> Iterator[str]:
    """A web address where these answers are given, one after the other."""
    Answers.bodies = [(status, body) for body in bodies]
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_calls_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({"calls": [CALL], "taken": 7}) as url:
        assert client.list_calls(SETTINGS, url=url, as_json=False) == 0
    head, row, last = capsys.readouterr().out.splitlines()
    assert (tuple(head.split()), row.split()) == (NAMES, ["x"] * len(NAMES))
    assert last == "1 live, 7 taken since the start"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"calls": 1}', b'{"calls": [{}]}'])
def test_what_is_no_controller_is_one_line(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(body) as url:
        assert client.list_calls(SETTINGS, url=url, as_json=False) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"esl-controller calls: no answer from {url.rstrip('/')}: ")
    assert told.count("\n") == 1


def test_a_drain_says_how_many_are_left_until_nobody_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "POLL_S", 0.01)
    two, one = {"calls": [CALL, CALL]}, {"calls": [CALL]}
    with answering({"calls": 2}, two, one, b"") as url:
        assert client.drain(SETTINGS, limit_s=60, url=url) == 0
    assert capsys.readouterr().out.splitlines() == [
        "no more calls are taken; 2 live",
        "1 live",
        "the controller has ended",
    ]


def test_a_controller_that_is_stopping_accepts_no_drain(capsys: pytest.CaptureFixture[str]) -> None:
    with answering({}, status=client.CONFLICT) as url:
        assert client.drain(SETTINGS, limit_s=60, url=url) == 1
    told = capsys.readouterr().err
    assert told == "esl-controller drain: not accepted: it is already stopping\n"
