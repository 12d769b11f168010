"""Where things are: tests find the repository's files from here, wherever they themselves stand."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CAPTURES: Final = ROOT / "tests" / "captures"
