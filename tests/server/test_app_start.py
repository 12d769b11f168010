"""What a start does not wait for: callers who lost their controller wait for the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

MIGRATION = {"alembic"}
# With a record in SQLite that is up to date.
NEVER = MIGRATION | {"asyncpg", "fastapi", "matplotlib", "redis", "starlette", "uvicorn"}


def started(folder: Path) -> list[str]:
    """What a process logs until it is ready, and in between each module that it has imported."""
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "sk-test",
        "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
        **{f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")},
    }
    command = (sys.executable, "-X", "importtime", "-m", "esl_controller", "serve")
    lines: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.rpartition("|")[2].strip())
            if '"ready"' in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert (process.returncode, '"ready"' in lines[-1]) == (0, True), lines[-1]
    return lines


def packages(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_a_start_imports_only_what_it_needs(tmp_path: Path) -> None:
    first = packages(started(tmp_path))
    assert first & NEVER == MIGRATION  # it makes the tables
    again = started(tmp_path)
    assert not packages(again) & NEVER
    assert "esl_controller.simulator" not in again
    # The model's client comes while the controller listens already.
    assert "openai" not in packages(again[: again.index("esl_controller.server.app")])


def test_what_is_kept_out_of_a_start_is_there_for_others() -> None:
    code = """
import sys
from esl_controller.freeswitch import esl
assert "fastapi" not in sys.modules
from redis.asyncio import Redis
assert Redis.from_url("redis://localhost")
from genesis.observability.server import Observability
assert Observability().app.title
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_what_is_there_then_is_hidden_from_the_garbage_collector() -> None:
    code = """
import gc
gc.disable()
from esl_controller.server.app import settle
settle()
assert gc.isenabled()
assert gc.get_freeze_count() > len(gc.get_objects())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
