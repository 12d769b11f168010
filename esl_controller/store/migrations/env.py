"""Alembic's entry: it migrates over the connection that ``database.open_engine`` hands it."""

from __future__ import annotations

from alembic import context

# The transaction is the caller's: a migration happens as a whole or not at all.
context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
