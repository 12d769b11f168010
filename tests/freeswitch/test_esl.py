"""Genesis without its web server and its Redis client, and what breaks if it imports others."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from esl_controller.freeswitch import esl

KEPT_OUT: Final = {"fastapi", "prometheus_client", "redis", "starlette", "uvicorn"}
"""What importing Genesis would bring, and ours must not."""

IMPORTED: Final = {"genesis", "opentelemetry", "rich"}
"""The other third-party packages that Genesis asks for when it is imported as we do."""


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    command = (sys.executable, "-W", "ignore", "-c", code)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def brought(code: str) -> set[str]:
    """The packages that are imported once ``code`` has run."""
    listed: list[str] = json.loads(
        python(f"{code}\nimport json, sys\nprint(json.dumps([*sys.modules]))")
    )
    return {name.partition(".")[0] for name in listed}


def test_what_is_kept_out_would_come_without_us() -> None:
    """Else the stand-in modules have lost their reason, and can go."""
    assert brought("import genesis") >= KEPT_OUT


def test_none_of_it_comes_through_our_door() -> None:
    assert not brought("from esl_controller.freeswitch import esl") & KEPT_OUT


def test_what_is_kept_out_is_there_for_others() -> None:
    python("""
import sys
from esl_controller.freeswitch import esl
assert not {name for name in esl._UNUSED if name in sys.modules}
from redis.asyncio import Redis
assert Redis.from_url("redis://localhost")
from genesis.observability.server import Observability
assert Observability().app.title
""")


def test_who_has_imported_it_before_keeps_it() -> None:
    python("""
import redis.asyncio
from esl_controller.freeswitch import esl
import sys
assert sys.modules["redis.asyncio"] is redis.asyncio
assert redis.asyncio.Redis.from_url("redis://localhost")
""")


def package() -> Path:
    spec = importlib.util.find_spec("genesis")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def asked_for(path: Path) -> set[str]:
    """The modules that a file of Genesis imports when it is imported, but for those of Genesis and
    of Python."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return  # imported when it is called
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}


def test_genesis_imports_what_it_did_when_this_was_tried() -> None:
    """A new import is either cheap, and is added here, or is kept out as well. The command line of
    Genesis, which we do not import, is left out."""
    root = package()
    files = [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] != "cli"]
    others = {str(path.relative_to(root)): asked_for(path) for path in files}
    kept_out = {
        path: names
        for path, modules in others.items()
        if (names := {name for name in modules if name.partition(".")[0] not in IMPORTED})
    }
    assert kept_out == {
        "group/load_balancer.py": {"redis.asyncio"},
        "observability/server.py": {"fastapi", "uvicorn", "prometheus_client"},
        "queue/redis_backend.py": {"redis.asyncio"},
    }


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("Session", ("send", "sendmsg", "stop")),
        ("Inbound", ("send", "stop")),
        ("ESLEvent", ("get",)),
        ("GenesisError", ()),
    ],
)
def test_what_we_import_is_genesis_own(name: str, attributes: tuple[str, ...]) -> None:
    """A stand-in module gives None for whatever is imported from it."""
    thing: Any = getattr(esl, name)
    assert isinstance(thing, type)
    assert thing.__module__.startswith("genesis.")
    assert all(callable(getattr(thing, attribute)) for attribute in attributes)


def test_every_name_of_the_door_is_real() -> None:
    assert all(getattr(esl, name) is not None for name in esl.__all__)
