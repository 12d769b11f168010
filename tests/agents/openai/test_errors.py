"""What OpenAI's errors mean."""

from __future__ import annotations

import json
import time

import pytest

from esl_controller.agents.openai.errors import BODY_LIMIT, of_close, of_event, of_http
from esl_controller.call.agent import Recovery


@pytest.mark.parametrize(
    ("message", "after_s"),
    [
        ("Please try again in 1.5s.", 1.5),
        ("Please try again in 1.5 s", 1.5),
        ("Rate limit reached on tokens. Please try again in 20ms. Visit https://x", 0.02),
        ("Limit 1000, Used 1000. Please try again in 1m26.4s.", 86.4),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1h2m3s.", 3723.0),
        ("Please retry after 7 seconds.", 7.0),
        ("The server had an error. You can retry your request.", 0.0),
        ("Please try again in a while.", 0.0),
        ("Please try again in " + "9" * 400 + "s", 0.0),
    ],
)
def test_when_to_try_again(message: str, after_s: float) -> None:
    error = of_event({"type": "tokens", "code": "rate_limit_exceeded", "message": message})
    assert error.recovery is Recovery.ASK_AGAIN
    assert error.after_s == pytest.approx(after_s)


@pytest.mark.parametrize(
    ("code", "kind", "recovery"),
    [
        ("insufficient_quota", "insufficient_quota", Recovery.NEXT_MODEL),
        (None, "insufficient_quota", Recovery.NEXT_MODEL),
        ("invalid_api_key", "invalid_request_error", Recovery.NEXT_MODEL),
        ("session_expired", "invalid_request_error", Recovery.RECONNECT),
        ("something_new", "invalid_request_error", Recovery.GIVE_UP),
        (None, "server_error", Recovery.ASK_AGAIN),
        ("something_new", "of_a_new_type", Recovery.ASK_AGAIN),
        ([], {}, Recovery.ASK_AGAIN),
    ],
)
def test_what_helps(code: object, kind: object, recovery: Recovery) -> None:
    assert of_event({"code": code, "type": kind, "message": "No."}).recovery is recovery


def test_a_quota_is_told_from_a_limit() -> None:
    body = json.dumps({"error": {"code": "insufficient_quota", "type": "insufficient_quota"}})
    error = of_http(429, {}, body.encode())
    assert error.recovery is Recovery.NEXT_MODEL
    assert error.told.endswith("HTTP 429; the quota is used up")
    body = json.dumps({"error": {"code": "rate_limit_exceeded", "message": "try again in 3s"}})
    assert of_http(429, {}, body.encode()).recovery is Recovery.RECONNECT
    assert of_http(429, {}, body.encode()).after_s == 3.0


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After-Ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "-1"}, 0.0),
        ({"Retry-After": "9" * 400}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_refusal_says_when(headers: dict[str, str], after_s: float) -> None:
    assert of_http(503, headers, b"").after_s == after_s


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 7}', b"[" * BODY_LIMIT])
def test_a_body_that_is_no_error(body: bytes) -> None:
    assert of_http(500, {}, body).recovery is Recovery.RECONNECT


def test_a_close_frame_says_why() -> None:
    assert of_close(3000, "invalid_request_error.invalid_api_key").recovery is Recovery.NEXT_MODEL
    assert of_close(1011, "internal_error").recovery is Recovery.RECONNECT
    assert of_close(1011, "").told == "the model closed the connection: 1011"


def test_a_hostile_message_takes_no_time() -> None:
    began = time.perf_counter()
    of_event({"code": "x", "type": "y", "message": "try again in " * 100_000})
    assert time.perf_counter() - began < 0.5
