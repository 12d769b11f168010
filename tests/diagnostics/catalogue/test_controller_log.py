"""Each fault of the controller's log is found in what the source writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import esl_controller
import media
from esl_controller.diagnostics.catalogue import controller_log
from esl_controller.diagnostics.catalogue.fault import Fault


def sources() -> str:
    """Our own code, its string literals joined as Python joins them."""
    texts = []
    for package in (esl_controller, media):
        for path in sorted(Path(*package.__path__).rglob("*.py")):
            if "diagnostics" not in path.parts:
                texts.append(path.read_text())
    return re.sub(r'"\s*\n\s*"', "", "\n".join(texts))


SAID = {
    "wrong stream": "media connection refused: not a stream",
    "no way": "no way to hear the caller, the call is ended",
}


@pytest.mark.parametrize("fault", controller_log.ALL, ids=lambda fault: fault.name)
def test_a_fault_of_ours_is_what_we_log(fault: Fault) -> None:
    """A line whose words change takes its explanation with it."""
    said = fault.name in SAID and fault.pattern.search(SAID[fault.name])
    assert said or fault.pattern.search(sources())
