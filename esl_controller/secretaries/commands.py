"""``esl-controller secretary``: check files, show one in effect, write a new one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

from esl_controller.config.model_settings import GREETINGS
from esl_controller.config.setting_types import shown
from esl_controller.config.settings import Settings
from esl_controller.secretaries import prompt, writing
from esl_controller.secretaries.folder import File, files_in, read_all
from esl_controller.secretaries.phrases import phrase
from esl_controller.secretaries.reading import DEFAULT
from esl_controller.secretaries.secretary import Secretary, folded, of_agent


class SecretaryError(Exception):
    """The command cannot be carried out; the text is one line."""


def check(paths: Sequence[Path], settings: Settings, number: str) -> tuple[str, bool]:
    """A line for each mistake in the files and folders, or how many secretaries are right, which
    of them are never open, where a mailbox may keep callers who are to come back, and where secret
    digits go out unsigned.

    The second value is whether all are right. Without ``paths`` the folder in the settings is
    checked. ``number``: what callers dial to reach us. Raises SecretaryError.
    """
    paths = paths or [_folder(settings)]
    files = _read(paths, settings)
    if not files:
        raise SecretaryError("there is no .toml file in " + " and ".join(map(str, paths)))
    mistakes = [
        line
        for file in files
        for line in (*file.mistakes, *_loops(file, number), *_unknown_models(file, settings))
    ]
    if mistakes:
        return "\n".join(mistakes) + "\n", False
    count = len(files)
    right = f"{count} secretaries are right" if count != 1 else "1 secretary is right"
    closed = [
        f"{file.reading.path}: [hours] no day has times and all are []: it is always closed"
        for file in files
        if file.in_force is not None and file.in_force.hours.always_closed
    ]
    kept = [line for file in files for line in _mailboxes(file)]
    signed = bool(settings.webhook.secret.get_secret_value())
    unsigned = [] if signed else [line for file in files for line in _secret_digits(file)]
    return "\n".join([*closed, *kept, *unsigned, right]) + "\n", True


def show(name: str, settings: Settings, *, prompt_only: bool) -> str:
    """The values of a secretary, given by name, UUID or file; with ``prompt_only`` its prompt.

    Raises SecretaryError, also if its file has mistakes.
    """
    file = _find(name, settings)
    if file and file.mistakes:
        raise SecretaryError("\n".join(file.mistakes))
    secretary = file.in_force if file else None
    if file and secretary:
        source, places = f"the file {file.reading.path}", file.reading.places
    else:
        secretary = Secretary.from_agent(settings.agent)
        source = "no file, [agent]"
        places = dict.fromkeys([*of_agent(settings.agent), "greeting"], "[agent]")
    if prompt_only:
        return prompt.instructions(secretary, secretary.enabled_tools) + "\n"
    return writing.describe(secretary, source, places)


def name_of(secretary_uuid: str, settings: Settings) -> str:
    """The name of the secretary that has this UUID, if the folder has it; else empty."""
    if not settings.secretaries.folder:
        return ""
    try:
        files = _read([_folder(settings)], settings)
    except OSError:
        return ""
    found = (file.reading.secretary for file in files)
    named = (each.name for each in found if each and each.secretary_uuid == secretary_uuid.lower())
    return next(named, "")


def new(name: str, language: str | None, settings: Settings) -> str:
    """Write a file for a secretary called ``name`` into the folder; returns what to do next.

    Raises SecretaryError, also if the file exists.
    """
    folder = _folder(settings)
    stem = re.sub(r"[^a-z0-9]+", "-", folded(name)).strip("-")
    if not stem:
        raise SecretaryError(f"{name!r} has no letter or digit for the name of a file")
    language = language or settings.agent.language
    given = {
        "language": language,
        "greeting": phrase(GREETINGS, language),
        "instructions": settings.agent.instructions,
    }
    path = folder / f"{stem}.toml"
    uuid = str(uuid4())
    if stem != DEFAULT:
        given |= {"name": name, "secretary_uuid": uuid}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(writing.template(given))
    except FileExistsError:
        raise SecretaryError(f"{path}: exists already; choose another name") from None
    if stem == DEFAULT:
        return f"{path}\nIt answers every call that no other secretary is for.\n"
    return (
        f"{path}\nHand it calls: esl-controller dialplan --domain-uuid UUID"
        f" --secretary-uuid {uuid}\n"
    )


def _loops(file: File, number: str) -> Iterator[str]:
    """A line for each destination that leads back to our own number."""
    secretary = file.reading.secretary
    for place in secretary.leading_to(number) if secretary else ():
        where = file.reading.places.get(f"destinations.{place}.number", file.reading.path)
        yield (
            f"{where}: [[destinations]] number: {number} is our own number: a transfer there leads"
            " back to us (if it is another one, name ours with --number)"
        )


def _unknown_models(file: File, settings: Settings) -> Iterator[str]:
    """A line for each model that the settings do not have."""
    secretary = file.reading.secretary
    where = file.reading.places.get("models", file.reading.path)
    for name in secretary.models if secretary else ():
        if name not in settings.model_names:
            known = ", ".join(map(shown, settings.model_names))
            yield f"{where}: models: the settings have no {shown(name)}; there are {known}"


def _mailboxes(file: File) -> Iterator[str]:
    """A line for each destination that is to send callers back, and has, or may have, a mailbox."""
    secretary = file.reading.secretary
    for place, destination in enumerate(secretary.destinations if secretary else ()):
        where = file.reading.places.get(f"destinations.{place}.come_back")
        if where is None or destination.come_back is False:
            continue
        told = f"{where}: [[destinations]] come_back: "
        if destination.kind == "extension":
            yield (
                f"{told}if {destination.number} has a mailbox, that answers where nobody does, and"
                " counts as reached (a timeout_s shorter than its ringing brings callers back)"
            )
        elif destination.kind == "voicemail" and destination.come_back == "unreached":
            yield f"{told}a mailbox always answers: nobody comes back from there, unless it is true"


def _secret_digits(file: File) -> Iterator[str]:
    """A line for each webhook function that is sent secret digits, where nothing is signed."""
    secretary = file.reading.secretary
    for place, name in (secretary.told_secret_digits if secretary else {}).items():
        where = file.reading.places.get(f"tools.webhooks.{place}.secure", file.reading.path)
        yield (
            f"{where}: [[tools.webhooks]] secure: what callers type in secret goes to {name}"
            " unsigned: [webhook] secret (ESL_CONTROLLER_WEBHOOK_SECRET) is not set"
        )


def _folder(settings: Settings) -> Path:
    if not settings.secretaries.folder:
        raise SecretaryError(
            "no folder for secretaries: set [secretaries] folder in the settings, or"
            " ESL_CONTROLLER_SECRETARIES_FOLDER"
        )
    return Path(settings.secretaries.folder)


def _read(paths: Sequence[Path], settings: Settings) -> list[File]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += files_in(path, found.append)
        else:
            found.append(path)
    return list(read_all(found, settings.agent, {}).values())


def _find(name: str, settings: Settings) -> File | None:
    """The one file that ``name`` means; None for the default secretary if it has no file."""
    if name.endswith(".toml"):
        return _read([Path(name)], settings)[0]
    is_default = name == DEFAULT
    if is_default and not settings.secretaries.folder:
        return None
    files = _read([_folder(settings)], settings)
    matches = [file for file in files if folded(name) in _names(file)]
    if not matches and not is_default:
        stems = ", ".join(sorted({DEFAULT, *(file.reading.path.stem for file in files)}))
        raise SecretaryError(f"there is no secretary {name!r}; there are: {stems}")
    if len(matches) > 1:
        paths = ", ".join(str(file.reading.path) for file in matches)
        raise SecretaryError(f"several are called {name!r}; give one of the files: {paths}")
    return matches[0] if matches else None


def _names(file: File) -> set[str]:
    names = {folded(file.reading.path.stem)}
    if secretary := file.reading.secretary:
        names |= {folded(secretary.name), secretary.secretary_uuid}
    return names
