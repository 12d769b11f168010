"""The log: its form, its levels, and that no secret passes, whoever logs it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession

from esl_controller.server import logs
from tests.calls.rig import rig

# What the Genesis library does with its logger belongs to what is tested.
genesis = logging.getLogger("genesis.observability.logger")
TOKEN = "tok-4f167587"


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_of_json_has_its_time_level_logger_and_call(out: io.StringIO) -> None:
    logs.configure("json", "info", out)
    structlog.contextvars.bind_contextvars(call_uuid="u-1", domain_uuid="d-1")
    structlog.get_logger("esl_controller.session.session").info("call answered", after_ms=41.5)
    [line] = lines(out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "logger": "esl_controller.session.session",
        "event": "call answered",
        "call_uuid": "u-1",
        "domain_uuid": "d-1",
        "after_ms": 41.5,
    }


def test_lines_of_the_libraries_take_the_same_way(out: io.StringIO) -> None:
    logs.configure("json", "info", out)
    structlog.contextvars.bind_contextvars(call_uuid="u-1")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    [line] = lines(out)
    assert (line["event"], line["logger"], line["call_uuid"]) == ("slow callback", "asyncio", "u-1")


def test_the_console_shows_the_same_without_colours_where_there_is_no_terminal(
    out: io.StringIO,
) -> None:
    logs.configure("console", "info", out)
    structlog.get_logger("esl_controller.x").info("call answered", after_ms=41.5)
    assert re.fullmatch(
        r"\S+Z \[info +\] call answered +\[esl_controller\.x\] after_ms=41\.5\n", out.getvalue()
    )


def test_auto_is_json_where_there_is_no_terminal_and_the_console_on_one(out: io.StringIO) -> None:
    logs.configure("auto", "info", out)
    structlog.get_logger("esl_controller.x").info("one")
    out.isatty = lambda: True  # type: ignore[method-assign]
    logs.configure("auto", "info", out)
    structlog.get_logger("esl_controller.x").info("two")
    first, second = out.getvalue().splitlines()
    assert json.loads(first)["event"] == "one"
    assert not second.startswith("{")


def test_configuring_again_replaces_the_handler(out: io.StringIO) -> None:
    logs.configure("json", "info", io.StringIO())
    logs.configure("json", "info", out)
    structlog.get_logger("esl_controller.x").info("once")
    assert len(lines(out)) == 1


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["ours d", "ours i", "ours w", "theirs d", "theirs i", "theirs w", "sockets i"]),
        ("info", ["ours i", "ours w", "theirs w"]),
        ("warning", ["ours w", "theirs w"]),
        ("error", []),
    ],
)
def test_libraries_are_heard_from_warnings_up_unless_at_debug(
    out: io.StringIO, level: Any, expected: list[str]
) -> None:
    logs.configure("json", level, out)
    ours = structlog.get_logger("esl_controller.x")
    ours.debug("ours d")
    ours.info("ours i")
    ours.warning("ours w")
    genesis.log(5, "a whole message")
    genesis.debug("theirs d")
    genesis.info("theirs i")
    genesis.warning("theirs w")
    logging.getLogger("websockets.client").debug("a frame of audio")
    logging.getLogger("aiosqlite").debug("what a caller said")
    logging.getLogger("websockets.client").info("sockets i")
    assert [line["event"] for line in lines(out)] == expected


@pytest.mark.parametrize(
    "text",
    [
        f"Send command: auth {TOKEN}",
        f"Send command: auth two words {TOKEN}",
        f"userauth 100@default:{TOKEN}",
        f'api uuid_setvar u STREAM_EXTRA_HEADERS {{"Authorization":"Bearer {TOKEN}"}}',
        f'STREAM_EXTRA_HEADERS={{"X-Any": "{TOKEN}"}}',
        f"variable_STREAM_EXTRA_HEADERS: %7B%22X-Any%22%3A%22{TOKEN}%22%7D",
        f"{{'variable_STREAM_EXTRA_HEADERS': '{TOKEN}'}}",
        f"authorization: Bearer {TOKEN}",
        f"bearer%20{TOKEN}",
        f"<CIMultiDictProxy('Authorization': 'Basic {TOKEN}')>",
        f"('Cookie', 'a=b; session={TOKEN}')",
        f"GET ws://127.0.0.1:8085/stream/d/u?token={TOKEN}&x=1",
        f"wss://host/v1?key={TOKEN}&x=1",
        f"https://user:{TOKEN}@host/v1",
        f"Incorrect API key provided: sk-proj-{TOKEN}.",
        f'{{"api_key": "{TOKEN}"}}',
        f"password={TOKEN}",
        f"Password: {TOKEN}",
        f"client_secret = '{TOKEN}'",
    ],
)
def test_no_secret_in_a_text_passes_at_debug_whoever_logs_it(out: io.StringIO, text: str) -> None:
    for format in ("json", "console"):
        logs.configure(format, "debug", out)
        log = structlog.get_logger("esl_controller.x")
        log.debug(text)
        log.debug("value", detail=text, nested={"a": [text, (text, 1)]}, raw=text.encode())
        genesis.debug(f"Send command to freeswitch: '{text}'.")
        genesis.error("%s", {"text": text})
        try:
            raise RuntimeError(text) from ValueError(text)
        except RuntimeError:
            log.exception("failed")
            logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=True)
        log.debug("where", stack_info=True)
    assert out.getvalue().count("Traceback") == 4
    assert TOKEN not in out.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "media_token",
        "Authorization",
        "password",
        "api_key",
        "apikey",
        "key",
        "Set-Cookie",
        "client_secret",
        "STREAM_EXTRA_HEADERS",
    ],
)
def test_a_value_with_the_name_of_a_secret_is_masked_whole(out: io.StringIO, name: str) -> None:
    logs.configure("json", "debug", out)
    log = structlog.get_logger("esl_controller.x")
    log.info("a", **{name: TOKEN})
    log.info("b", headers={name: TOKEN}, pairs=[(name, TOKEN)])
    log.info("c", **{name: [TOKEN, {"a": TOKEN}]})
    assert len(lines(out)) == 3
    assert TOKEN not in out.getvalue()
    assert out.getvalue().count(logs.MASK) == 4


def test_known_secrets_are_masked_anywhere(out: io.StringIO) -> None:
    logs.configure("json", "debug", out, secrets=["correct horse", "cat", ""])
    structlog.get_logger("esl_controller.x").info("it is correct horse, or cat")
    assert lines(out)[0]["event"] == "it is ***, or cat"


def test_what_only_resembles_a_secret_is_left(out: io.StringIO) -> None:
    logs.configure("json", "info", out)
    usage = {"total_tokens": 3, "input_token_details": {"cached": 1}}
    structlog.get_logger("esl_controller.x").info("Content-Type: auth/request", u=usage, monkey=1)
    [line] = lines(out)
    assert (line["event"], line["u"], line["monkey"]) == ("Content-Type: auth/request", usage, 1)


@pytest.mark.parametrize("format", ["json", "console"])
def test_nothing_from_the_wire_can_begin_a_line_or_move_the_cursor(
    out: io.StringIO, format: Any
) -> None:
    logs.configure(format, "info", out)
    evil = "x\r\n2026-01-01T00:00:00.000Z [info] forged \x1b[2J \u2028 \u202e \x85"
    log = structlog.get_logger("esl_controller.x")
    log.info(evil, value=evil, nested={evil: [evil]})
    logging.getLogger("aiohttp.web").error(evil)
    try:
        raise ValueError(evil)
    except ValueError:
        log.exception("failed")
    text = out.getvalue()
    assert not set(text) & set("\r\x1b\u2028\u202e\x85")
    assert sum(not line.startswith("  ") for line in text.splitlines()) == 3


def test_a_long_value_is_cut(out: io.StringIO) -> None:
    logs.configure("json", "info", out)
    structlog.get_logger("esl_controller.x").info("long", value="a" * 100_000)
    assert lines(out)[0]["value"] == "a" * 4000 + "…"


def test_any_value_can_be_logged(out: io.StringIO) -> None:
    logs.configure("json", "info", out)
    endless: list[object] = []
    endless.append(endless)
    values: Mapping[str, object] = {"a": object(), "b": endless, "c": b"\xff", "d": {1: None}}
    structlog.get_logger("esl_controller.x").info("any", **values, e=True, f=1.5)
    [line] = lines(out)
    assert (line["c"], line["d"], line["e"], line["f"]) == ("\\xff", {"1": None}, True, 1.5)


def test_a_line_with_wrong_arguments_shows_them_nowhere(
    out: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "debug", out)
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", (TOKEN,), None)
    [handler] = [h for h in logging.getLogger().handlers if isinstance(h, logs._Handler)]
    handler.handle(record)
    assert TOKEN not in out.getvalue() + capsys.readouterr().err


def test_genesis_logs_through_ours_also_where_it_was_not_yet_imported() -> None:
    code = f"""
import sys
from esl_controller.server import logs
assert "genesis" not in sys.modules
logs.configure("json", "debug")
from genesis.observability.logger import logger
logger.trace("never")
logger.debug("Send command: auth {TOKEN}")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == [
        "Send command: auth ***"
    ]


def test_numbers_that_json_does_not_have_are_told_in_words(out: io.StringIO) -> None:
    logs.configure("json", "info", out)
    log = structlog.get_logger("esl_controller.x")
    numbers = [2**64, -(10**400), float("inf"), -float("inf"), float("nan")]
    log.info("a", numbers=numbers, number=numbers[0], fine=[1.5, 2**62])
    (line,) = lines(out)
    assert line["numbers"] == ["a number that is too large"] * 5
    assert (line["number"], line["fine"]) == ("a number that is too large", [1.5, 2**62])


def test_a_sentence_that_names_a_secret_is_told_whole(out: io.StringIO) -> None:
    logs.configure("json", "info", out)
    told = "the call's token, set by STREAM_EXTRA_HEADERS, is missing or wrong"
    structlog.get_logger("esl_controller.x").info(f"media connection refused: {told}")
    assert lines(out)[0]["event"] == f"media connection refused: {told}"


def test_of_strangers_a_few_are_told_in_a_minute_and_then_how_many_were_not() -> None:
    now = 0.0
    strangers = logs.Strangers(lambda: now)

    def told(**line: Any) -> list[Any]:
        """What passes of a hundred such lines; ``untold`` of each."""
        passed = []
        for _ in range(100):
            with contextlib.suppress(structlog.DropEvent):
                passed.append(strangers(None, "warning", {"event": "refused", **line}))
        assert not [line for line in passed if "stranger" in line]
        return [line.get("untold") for line in passed]

    assert told(stranger=True) == [None] * 10
    assert told(stranger=True) == []
    assert told(stranger=True, event="another text") == [None] * 10
    assert told() == [None] * 100, "a line that is about nobody else"
    now = logs.TELL_S
    assert told(stranger=True) == [190, *[None] * 9]
    now = 3 * logs.TELL_S
    assert told(stranger=True)[0] == 90


async def test_no_stranger_fills_the_log(out: io.StringIO) -> None:
    async with rig(settings={"ESL_ALLOW": "10.0.0.0/8"}) as of, ClientSession() as http:
        logs.configure("json", "info", out)
        for _ in range(50):
            async with http.get(f"{of.controller.media_url}/?{TOKEN}".replace("ws:", "http:")):
                pass
            reader, writer = await asyncio.open_connection("127.0.0.1", of.controller.calls.port)
            await reader.read()
            writer.close()
        assert (of.controller.streams.refused, of.controller.calls.refused) == (50, 50)
    refused = [line["event"] for line in lines(out) if "refused" in line["event"]]
    assert len(refused) == 20


async def test_no_stranger_fills_it_who_may_connect(out: io.StringIO) -> None:
    async with rig() as of:
        logs.configure("json", "info", out)
        for hostile in (b"GET / HTTP/1.1\n\n", b""):
            for _ in range(50):
                port = of.controller.calls.port
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(hostile)
                writer.write_eof()
                await reader.read()
                writer.close()
    told = Counter(line["event"] for line in lines(out))
    assert told["FreeSWITCH sent bytes that are no Event Socket message"] == 10
    assert told["an Event Socket connection brought no call"] == 10
