"""The recipes in CONTRIBUTING.md: what they name exists, and their steps lead where they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import Field

from esl_controller.call import tool_calls, tools
from esl_controller.call.agent import ToolCall
from esl_controller.call.tools import Toolbox, ToolError
from esl_controller.config import loading, settings
from esl_controller.config.settings import Settings, SettingsError, WebSettings
from esl_controller.secretaries import functions
from esl_controller.secretaries.functions import BuiltIn, Name
from esl_controller.secretaries.secretary import Secretary
from tests.call.test_tools import GOOD_CALLS
from tests.paths import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES: dict[str, str] = dict(
    re.findall(
        r"^### ([^\n]+)\n(.*?)(?=^##|\Z)",
        TEXT.partition("\n## Recipes\n")[2].partition("\n## ")[0],
        re.M | re.S,
    )
)


def files(text: str) -> list[str]:
    """The files of the repository that ``text`` names, except those that a recipe makes."""
    named = re.findall(r"`([\w/.-]+/[\w.-]+\.\w+)`", text)
    return [name for name in named if "VENDOR" not in name]


def test_there_are_recipes() -> None:
    assert RECIPES.keys() >= {"Add a setting", "Add a function of the model"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_files_of_a_recipe_exist(recipe: str) -> None:
    named = files(RECIPES[recipe])
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_names_of_a_recipe_stand_in_the_file_of_their_step(recipe: str) -> None:
    for item in re.split(r"^\d+\. ", RECIPES[recipe], flags=re.M)[1:]:
        step = re.split(r"\n\n(?=\S)", item)[0]  # without the paragraph after the last one
        sources = [ROOT / name for name in files(step) if name.endswith(".py")]
        source = "\n".join(path.read_text(encoding="utf-8") for path in sources)
        for name in re.findall(r"`([A-Za-z_]\w*(?:\.\w+)*)`", step):
            if sources and not name.endswith((".py", ".toml", ".md")):
                for part in name.split("."):
                    assert re.search(rf"\b{part}\b", source), f"{recipe}: {name}"


# --- a setting ------------------------------------------------------------------------------------


def test_a_setting_is_one_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Planted(WebSettings):
        """Planted."""

        colour: str = Field(default="red", description="The colour of the page.")

    class PlantedSettings(Settings):
        web: Planted = Planted()

    for module in (loading, settings):
        monkeypatch.setattr(module, "Settings", PlantedSettings)
    assert '# The colour of the page.\n#colour = "red"\n' in loading.example()
    path = tmp_path / "settings.toml"
    path.write_text('[web]\ncolour = "blue"\n')
    assert 'colour = "blue"' in loading.describe(loading.load(path, {}))
    variable = {"ESL_CONTROLLER_WEB_COLOUR": "green"}
    assert 'colour = "green"' in loading.describe(loading.load(path, variable))
    path.write_text("[web]\ncolour = 3\n")
    with pytest.raises(SettingsError, match=r":2: \[web\] colour: must be text, not 3"):
        loading.load(path, {})


# --- a function of the model ----------------------------------------------------------------------


@dataclass(frozen=True)
class Sing:
    """The request of the function that is planted here."""

    song: str


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Name:
    """A function that stands in the catalogue and nowhere else."""
    name = cast(Name, "sing")
    entry = BuiltIn(name, "Sing a song.", {"song": {"type": "string", "minLength": 1}})
    monkeypatch.setitem(functions.BUILT_INS, name, entry)
    return name


def singing() -> Secretary:
    return Secretary.model_validate({"tools": {"enabled": ["sing"]}})


def test_at_most_three_files_are_opened_for_a_function() -> None:
    steps = re.findall(r"^\d+\. `([\w/.]+)`", RECIPES["Add a function of the model"], re.M)
    assert steps == [
        f"esl_controller/{name}.py"
        for name in ("secretaries/functions", "call/tools", "call/tool_calls")
    ]


@pytest.mark.usefixtures("planted")
def test_a_function_that_is_only_in_the_catalogue_is_enabled_and_named_and_fails_loudly() -> None:
    assert singing().enabled_tools == ("sing",)
    assert ", sing. Not set:" in functions.enabled_help()
    with pytest.raises(AssertionError, match="sing"):
        Toolbox(singing())


def test_with_its_request_it_is_offered_checked_and_dispatched(
    planted: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tools._parser

    def parser(name: Name) -> Any:
        if name == planted:
            return lambda secretary, given: Sing(given["song"])
        return usual(name)

    monkeypatch.setattr(tools, "_parser", parser)
    box = Toolbox(singing())
    [tool] = box.tools
    assert (tool.name, tool.description) == ("sing", "Sing a song.")
    assert cast(Sing, box.request(ToolCall("c", "sing", '{"song": "Yesterday"}'))).song
    with pytest.raises(ToolError, match="song"):
        box.request(ToolCall("c", "sing", "{}"))
    executor = tool_calls.ToolExecutor(box)
    with pytest.raises(AssertionError, match="Sing"):
        executor.run(ToolCall("c", "sing", "{}"), cast(tools.Staying, Sing("x")), 0.0)


def test_every_function_has_a_call_in_the_tests() -> None:
    called: Mapping[str, tools.Request] = {name: request for name, _, request in GOOD_CALLS}
    assert called.keys() == functions.BUILT_INS.keys()
