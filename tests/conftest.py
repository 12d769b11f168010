"""What tests of several packages need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import postgres


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A real PostgreSQL, started for the first test that asks for it."""
    with postgres.serving() as server:
        yield server
