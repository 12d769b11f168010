"""Reading the settings from a file and the environment, and printing them."""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from esl_controller.config import default_file, toml_file
from esl_controller.config.model_settings import FurtherModel
from esl_controller.config.setting_types import PortRange, secret_variable, without_password
from esl_controller.config.settings import PREFIX, Loaded, Settings, SettingsError, schema
from esl_controller.config.toml_file import MISTAKES_LIMIT, comment, toml

MODELS = "models"
_MODEL_KEYS = {k: v for k, v in FurtherModel.model_fields.items() if k != "api_key"}
_KEY_OF_MODEL = (
    "a secret does not belong in a file; set it in the environment, and name the variable in key"
)
_SEVERAL = f"may be several: write [[{MODELS}]] on a line of its own, its keys below it"


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """The settings from the file at `path` (None: no file), overridden by the environment.

    Raises SettingsError with the mistakes and their places, ``MISTAKES_LIMIT`` of them.
    """
    values, places = _read_file(path) if path else ({}, {})
    mistakes = _unknown_keys(values, places, path)
    mistakes += _unknown_keys_of_models(values, places)
    _read_keys(values, environ)
    ignored = _read_environment(environ, values, places, mistakes)
    settings = Settings()
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=True):
            mistakes.append(_explain(dict(detail), places))
    if settings.models and settings.agent.resolved_kind == "standin":
        mistakes.append(
            f"{_place_of_model(places, '0')}: [[models]]: take over from the model of [agent],"
            " which has none: set OPENAI_API_KEY in the environment, or [agent] base_url"
        )
    if mistakes:
        told = sorted(mistakes, key=_line)[:MISTAKES_LIMIT]
        more = [f"and {len(mistakes) - len(told)} more"] if len(mistakes) > len(told) else []
        raise SettingsError("\n".join([*told, *more]))
    origins = {f"{s}.{k}": places.get(f"{s}.{k}", "default") for s, k, _ in schema()}
    return Loaded(settings, origins, path, tuple(ignored))


def _line(mistake: str) -> int:
    """The line of a mistake, to sort by; those in the environment come last."""
    match = re.search(r":(\d+): ", mistake)
    return int(match[1]) if match else sys.maxsize


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The file's tables, and "FILE:LINE" for every "section" and "section.key"."""
    try:
        return toml_file.read(path)
    except toml_file.TomlError as error:
        raise SettingsError(str(error)) from None


def _unknown_keys(
    values: dict[str, Any], places: Mapping[str, str], path: Path | None
) -> list[str]:
    """Remove from `values` what is no setting, or a secret; return the mistakes."""
    mistakes: list[str] = []
    allowed = {(section, key) for section, key, field in schema() if not secret_variable(field)}
    for section, table in list(values.items()):
        if section not in Settings.model_fields:
            advice = _advice(section, Settings.model_fields, mistakes)
            mistakes.append(f"{places.get(section, path)}: [{section}]: {advice}")
            del values[section]
            continue
        if section == MODELS and not isinstance(table, list):
            mistakes.append(f"{places[section]}: [{section}]: {_SEVERAL}")
            del values[section]
            continue
        for key in list(table) if isinstance(table, dict) else []:
            if (section, key) not in allowed:
                place = places.get(f"{section}.{key}", path)
                advice = _advice(key, [k for s, k in allowed if s == section], mistakes)
                mistakes.append(f"{place}: [{section}] {key}: {advice}")
                del table[key]
    return mistakes


def _unknown_keys_of_models(values: dict[str, Any], places: Mapping[str, str]) -> list[str]:
    """Remove from each of [[models]] what is no setting; return the mistakes."""
    mistakes: list[str] = []
    for at, table in enumerate(values.get(MODELS, ())):
        for key in list(table) if isinstance(table, dict) else []:
            if key not in _MODEL_KEYS:
                known = key == "api_key"
                advice = _KEY_OF_MODEL if known else _advice(key, _MODEL_KEYS, mistakes)
                place = _place_of_model(places, str(at), key)
                mistakes.append(f"{place}: [[{MODELS}]] {key}: {advice}")
                del table[key]
    return mistakes


def _read_keys(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put the keys of [[models]], which the environment has, into ``values``."""
    for table in values.get(MODELS, ()):
        if isinstance(table, dict):
            name = table.get("key", FurtherModel.model_fields["key"].default)
            table["api_key"] = SecretStr(environ.get(str(name), "").strip())


def _advice(name: str, names: Iterable[str], mistakes: Sized) -> str:
    """What to write instead of `name`, where `names` are known; after ``mistakes`` before it."""
    if len(mistakes) >= MISTAKES_LIMIT:
        return "unknown"
    for _, key, field in schema():
        variable = secret_variable(field)
        if variable and (name == key or (len(name) > 2 and name.lower() in variable.lower())):
            return f"a secret does not belong in a file; set {variable} in the environment"
    if close := difflib.get_close_matches(name, names, n=1):
        return f"unknown; did you mean {close[0]}?"
    if homes := [section for section, key, _ in schema() if key == name]:
        return "unknown; it belongs in " + " or ".join(f"[{home}]" for home in homes)
    return "unknown; there are " + ", ".join(sorted(names))


def _read_environment(
    environ: Mapping[str, str],
    values: dict[str, Any],
    places: dict[str, str],
    mistakes: list[str],
) -> list[str]:
    """Override `values` by the environment; return the names of variables to ignore."""
    variables = {}
    for section, key, field in schema():
        name = secret_variable(field) or f"{PREFIX}{section}_{key}".upper()
        variables[name] = (section, key, field)
        if (text := environ.get(name, "").strip()) and isinstance(
            values.setdefault(section, {}), dict
        ):
            values[section][key] = _from_text(text, field)
            places[f"{section}.{key}"] = f"environment {name}"
    ignored = []
    sections = tuple(f"{PREFIX}{section}_".upper() for section in Settings.model_fields)
    for name in sorted(environ):
        if name.startswith(sections) and name not in variables:
            close = difflib.get_close_matches(name, variables, n=1)
            advice = f"; did you mean {close[0]}?" if close else ""
            mistakes.append(f"environment {name}: unknown setting{advice}")
        elif name.startswith(PREFIX) and name not in variables and name != default_file.VARIABLE:
            ignored.append(name)
    return ignored


def _from_text(text: str, field: FieldInfo) -> object:
    """The value that a TOML file would have for `text`; `text` itself if it does not fit."""
    default = field.default
    if isinstance(default, tuple) and not isinstance(default, PortRange):
        return [part.strip() for part in text.split(",")]
    if isinstance(default, SecretStr):
        return SecretStr(text)
    try:
        return type(default)(text) if isinstance(default, int | float) else text
    except ValueError:
        return text


def _explain(error: dict[str, Any], places: Mapping[str, str]) -> str:
    """One of pydantic's errors as a line: where, what, and what it should be."""
    section, *rest = (str(part) for part in error["loc"])
    if section == MODELS:
        return _explain_model(error, rest, places)
    key = ".".join(rest[:1])
    place = places.get(f"{section}.{key}") or places.get(section) or "settings"
    name = f"[{section}] {key}" if key else f"[{section}]"
    return f"{place}: {name}: {_reason(error, key)}"


def _explain_model(error: dict[str, Any], rest: list[str], places: Mapping[str, str]) -> str:
    """The same for one of [[models]], or for all of them."""
    at, key = [*rest, "", ""][:2]
    place = _place_of_model(places, at, key)
    name = f"[[{MODELS}]] {key}" if key else f"[[{MODELS}]]"
    is_table = error["type"] != "model_type"
    reason = toml_file.reason(error, FurtherModel, key) if is_table else _SEVERAL
    return f"{place}: {name}: {reason}"


def _place_of_model(places: Mapping[str, str], at: str, key: str = "") -> str:
    """Where a key of one of [[models]] stands, or what it is in: tables may be written in one line,
    whose places are not known."""
    names = (f"{MODELS}.{at}.{key}", f"{MODELS}.{at}", MODELS)
    return next((places[name] for name in names if name in places), "settings")


def _reason(error: dict[str, Any], key: str) -> str:
    section = error["loc"][0]
    if error["type"] == "model_type":
        return f"must be a table: write [{section}] on a line of its own, its keys below it"
    return toml_file.reason(error, type(Settings.model_fields[section].default), key)


def describe(loaded: Loaded) -> str:
    """The settings in effect as TOML, each with its help and where it came from.

    Of a secret, a comment says only whether it is set.
    """

    def setting(section: str, key: str, field: FieldInfo) -> str:
        value = getattr(getattr(loaded.settings, section), key)
        origin = loaded.origins[f"{section}.{key}"]
        if secret_variable(field):
            return f"# {key}: {_masked(value, field.default)}  # {origin}"
        if isinstance(value, str):
            value = without_password(value)
        return f"{key} = {toml(value)}  # {origin}"

    def models() -> Iterator[str]:
        for model in loaded.settings.models:
            yield from ("", f"[[{MODELS}]]")
            for key, field in _MODEL_KEYS.items():
                yield from (
                    *comment(str(field.description)),
                    f"{key} = {toml(getattr(model, key))}",
                )
            yield f"# its key: {_masked(model.api_key, SecretStr(''))}  # environment {model.key}"

    source = f"the file {loaded.path}" if loaded.path else "no file"
    head = [f"# Effective settings: the defaults, {source}, the environment."]
    head += [f"# Ignored: {name}, which is no setting" for name in loaded.ignored]
    return "\n".join([*head, *_document(setting, models)]) + "\n"


def example() -> str:
    """A settings file with every default, commented out."""

    def setting(section: str, key: str, field: FieldInfo) -> str:
        if variable := secret_variable(field):
            return f"# ({key} is a secret: set {variable} in the environment.)"
        return textwrap.indent(f"{key} = {toml(field.default)}", "#", lambda line: True)

    def models() -> Iterator[str]:
        yield from ("", *comment(str(FurtherModel.__doc__)), f"# [[{MODELS}]]")
        for key, field in _MODEL_KEYS.items():
            default = "" if field.is_required() else field.default
            yield from (*comment(str(field.description)), f"# {key} = {toml(default)}")

    head = f"""\
        # Settings of esl-controller. Every line that begins with # and no space after it is a
        # default; remove the # to change it. The environment overrides this file:
        # {PREFIX}MEDIA_PUBLIC_URL is [media] public_url, and so on.
        # To see what is in effect, and where it comes from: esl-controller settings"""
    return "\n".join([textwrap.dedent(head), *_document(setting, models)]) + "\n"


def _document(
    setting: Callable[[str, str, FieldInfo], str], models: Callable[[], Iterator[str]]
) -> Iterator[str]:
    """The lines of a file with the help of all settings; `setting` writes one of them, `models`
    writes [[models]]."""
    for section, table in Settings.model_fields.items():
        if section == MODELS:
            yield from models()
            continue
        model = type(table.default)
        yield from ("", *comment(str(model.__doc__)), f"[{section}]")
        for key, field in model.model_fields.items():
            yield from (*comment(str(field.description)), setting(section, key, field))


def _masked(value: SecretStr, default: SecretStr) -> str:
    """A long secret's last four characters, to recognise it by; none of a short one."""
    text = value.get_secret_value()
    if not text:
        return "not set"
    if value == default:
        return "FreeSWITCH's default"
    return f"set (…{text[-4:]})" if len(text) >= 16 else "set"
