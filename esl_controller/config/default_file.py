"""Where the settings are, if no command line says so. Imports nothing that costs time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

VARIABLE = "ESL_CONTROLLER_CONFIG"
USUAL_FILES = (Path("esl-controller.toml"), Path("/etc/esl-controller.toml"))
DESCRIPTION = f"${VARIABLE}, or else {' or '.join(map(str, USUAL_FILES))} if there"


def default_file(environ: Mapping[str, str]) -> Path | None:
    """The file that ``ESL_CONTROLLER_CONFIG`` names, there or not, or the first of the usual ones
    that is there; None: no file."""
    if named := environ.get(VARIABLE, "").strip():
        return Path(named)
    return next((file for file in USUAL_FILES if file.exists()), None)
