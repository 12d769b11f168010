"""Where a process spends its CPU time, by py-spy if it is installed."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path
from typing import Final

_RATE: Final = 250  # samples a second
_TOP: Final = 25


async def profile(pid: int, seconds: float, folder: Path) -> str:
    """Two tables: the functions that run most, and those under which most time is spent."""
    tool = shutil.which("py-spy")
    if tool is None:
        return "no profile: py-spy is not installed (pip install py-spy)"
    stacks = folder / "stacks.txt"
    process = await asyncio.create_subprocess_exec(
        tool,
        *("record", "--pid", str(pid), "--duration", str(max(1, round(seconds)))),
        *("--rate", str(_RATE), "--format", "raw", "--function", "--output", str(stacks)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        return f"no profile: py-spy says {errors.decode(errors='replace').strip()[-300:]}"
    return tables(stacks.read_text())


def tables(stacks: str) -> str:
    """`stacks`: py-spy's raw format, `outer;inner;innermost COUNT` a line."""
    own: Counter[str] = Counter()
    under: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        path, _, number = line.rpartition(" ")
        count, functions = int(number), path.split(";")
        total += count
        own[functions[-1]] += count
        for function in set(functions):
            under[function] += count
    if not total:
        return "no profile: py-spy saw nothing"
    lines = [f"profile: {total} samples on CPU"]
    for title, counter in (("in the function itself", own), ("with all that it calls", under)):
        lines += ["", title]
        lines += [
            f"{count * 100 / total:6.1f} %  {name}" for name, count in counter.most_common(_TOP)
        ]
    return "\n".join(lines)
