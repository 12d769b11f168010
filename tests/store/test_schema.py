"""The tables in the code are those that the migrations build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects.postgresql import dialect as postgresql
from sqlalchemy.schema import CreateTable

from esl_controller.store.database import open_engine
from esl_controller.store.schema import metadata


def described(path: Path) -> dict[str, Any]:
    """Everything that a database knows of its tables."""
    engine = create_engine(f"sqlite:///{path}")
    found = inspect(engine)
    tables = {
        name: {
            "columns": [
                {**column, "type": str(column["type"])} for column in found.get_columns(name)
            ],
            "primary": found.get_pk_constraint(name),
            "foreign": found.get_foreign_keys(name),
            "indexes": sorted(found.get_indexes(name), key=str),
        }
        for name in found.get_table_names()
    }
    engine.dispose()
    return tables


async def test_the_migrations_build_these_tables(url: str, path: Path, tmp_path: Path) -> None:
    await (await open_engine(url)).dispose()
    engine = create_engine(f"sqlite:///{tmp_path}/expected.db")
    metadata.create_all(engine)
    engine.dispose()
    migrated = described(path)
    del migrated["alembic_version"]
    assert migrated == described(tmp_path / "expected.db")


def test_postgresql_has_a_type_for_every_column() -> None:
    for table in metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=postgresql()))  # type: ignore[no-untyped-call]
        assert "DOUBLE PRECISION" in text
