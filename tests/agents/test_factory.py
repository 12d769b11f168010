"""Each kind that the settings allow has a model, and nothing else asks which one."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import pytest

from esl_controller.agents.base import Model
from esl_controller.agents.factory import MODELS, make_model
from esl_controller.agents.openai.gpt_live import GptLiveModel
from esl_controller.agents.openai.realtime import RealtimeModel
from esl_controller.config.model_settings import KINDS, AgentSettings, Kind
from tests.paths import ROOT

URL = "http://127.0.0.1:9/v1"
DOORS = tuple(f"esl_controller.agents.{name}" for name in ("base", "chain", "factory", "probe"))


@pytest.mark.parametrize(
    ("kind", "made"), [("auto", RealtimeModel), ("realtime", RealtimeModel), ("live", GptLiveModel)]
)
async def test_the_kind_decides_which_model_is_made(kind: Kind, made: type[Model]) -> None:
    model = make_model(AgentSettings(kind=kind, base_url=URL))
    assert isinstance(model, made)
    assert model.service == URL
    await model.loaded()
    await model.close()


def test_each_kind_has_a_model_and_a_default_name() -> None:
    decided = {"auto", "standin"}
    assert set(get_args(Kind)) - decided == set(MODELS) == set(KINDS)


def test_the_stand_in_is_not_made_here() -> None:
    with pytest.raises(KeyError):
        make_model(AgentSettings())


def imported(path: Path) -> set[str]:
    """The modules in ``agents`` that a module imports from."""
    found: set[Any] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name and name.startswith("esl_controller.agents.")}


def test_nobody_else_knows_a_vendor() -> None:
    package = ROOT / "esl_controller"
    others = [path for path in package.rglob("*.py") if package / "agents" not in path.parents]
    knowing = {
        str(path.relative_to(ROOT)): names
        for path in others
        if (names := {name for name in imported(path) if not name.startswith(DOORS)})
    }
    assert not knowing
    assert imported(package / "server" / "app.py"), "the test looks at what it should look at"
