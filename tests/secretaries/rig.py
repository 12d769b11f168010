"""The example secretaries, as values to change and as files to write."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from esl_controller.config.model_settings import AgentSettings
from esl_controller.config.toml_file import toml
from esl_controller.secretaries.secretary import Secretary

EXAMPLES = Path(str(files("esl_controller.secretaries"))) / "examples"
CLINICA = EXAMPLES / "clinica.toml"
CLINIC = EXAMPLES / "clinic.toml"
AGENT = AgentSettings(voice="cedar", language="es")


def values(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def secretary(**keys: Any) -> Secretary:
    """One with these keys, and [agent]'s for the rest."""
    return Secretary.model_validate(keys).completed(AGENT)


def written(values: Mapping[str, Any]) -> str:
    """``values`` as TOML, a line a key."""
    plain = {k: v for k, v in values.items() if not _is_table(v)}
    lines = [f"{key} = {toml(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if key not in plain:
            lines += _table(key, value)
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )


def _table(name: str, value: Any) -> list[str]:
    lines = []
    for table in value if isinstance(value, list) else [value]:
        lines.append(f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
        inner = []
        for key, item in table.items():
            if isinstance(item, list) and _is_table(item):
                inner += _table(f"{name}.{key}", item)
            else:
                lines.append(f"{key} = {toml(item)}")
        lines += inner
    return lines
