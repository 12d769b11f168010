"""The tables in the code are those that the migrations build."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, inspect

from esl_controller.store.database import open_engine
from esl_controller.store.schema import metadata


def described(connection: Connection) -> dict[str, Any]:
    """Everything that a database knows of its tables."""
    found = inspect(connection)
    return {
        name: {
            "columns": [
                {**column, "type": str(column["type"])} for column in found.get_columns(name)
            ],
            "primary": found.get_pk_constraint(name),
            "foreign": found.get_foreign_keys(name),
            "indexes": sorted(found.get_indexes(name), key=str),
        }
        for name in found.get_table_names()
        if name != "alembic_version"
    }


async def test_the_migrations_build_these_tables(url: str) -> None:
    engine = await open_engine(url)
    async with engine.begin() as connection:
        migrated = await connection.run_sync(described)
        await connection.run_sync(metadata.drop_all)
        assert await connection.run_sync(described) == {}
        await connection.run_sync(metadata.create_all)
        assert migrated == await connection.run_sync(described)
    await engine.dispose()
    assert set(migrated) == set(metadata.tables)
