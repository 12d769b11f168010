"""What tests of several modules of the doctor need."""

from __future__ import annotations

import os

import pytest

from tests.fusionpbx.conftest import fusion, variant

__all__ = ["fusion", "idle_machine", "variant"]


@pytest.fixture(autouse=True)
def idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor warns of a machine that is busy, as one that runs tests is."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
