"""Calls, what happened in them, and webhooks that wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    _calls()
    _turns_and_tools()
    _messages_and_notes()
    _deliveries()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _of_call(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    key = sa.ForeignKeyConstraint(
        ["call_uuid"], ["calls.call_uuid"], f"{table}_call_uuid_fkey", ondelete="CASCADE"
    )
    return sa.Column("call_uuid", sa.String, nullable=False), key


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"{table}_pkey")


def _index(table: str, column: str) -> None:
    op.create_index(f"{table}_{column}_idx", table, [column])


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_uuid", sa.String, nullable=False),
        *(_text(name) for name in ("domain_uuid", "secretary", "caller", "destination")),
        _time("started_at", nullable=True),
        _time("ended_at", nullable=True),
        *(_text(name) for name in ("cause", "outcome", "recording")),
        *(_count(name) for name in ("input_text", "input_audio", "cached")),
        *(_count(name) for name in ("output_text", "output_audio")),
        sa.Column("seconds", sa.Double, nullable=False, server_default="0"),
        _primary("calls", "call_uuid"),
    )
    _index("calls", "started_at")


def _turns_and_tools() -> None:
    op.create_table(
        "turns",
        *_of_call("turns"),
        sa.Column("number", sa.Integer, nullable=False),
        *(_text(name) for name in ("who", "text", "heard_text")),
        _time("started_at"),
        _time("ended_at", nullable=True),
        sa.Column("latency_ms", sa.Integer),
        sa.Column("interrupted_ms", sa.Integer),
        _primary("turns", "call_uuid", "number"),
    )
    op.create_table(
        "tools",
        *_of_call("tools"),
        sa.Column("call_id", sa.String, nullable=False),
        *(_text(name) for name in ("name", "arguments", "output")),
        _time("at"),
        _count("took_ms"),
        _primary("tools", "call_uuid", "call_id"),
    )


def _messages_and_notes() -> None:
    for table, texts in (("messages", ("name", "phone", "text")), ("notes", ("text",))):
        op.create_table(
            table,
            sa.Column("id", sa.String, nullable=False),
            *_of_call(table),
            *(_text(name) for name in texts),
            _time("at"),
            _primary(table, "id"),
        )
        _index(table, "call_uuid")


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String, nullable=False),
        *_of_call("deliveries"),
        *(_text(name) for name in ("url", "kind", "body")),
        _time("at"),
        _count("attempts"),
        _time("due_at"),
        _primary("deliveries", "id"),
    )
    _index("deliveries", "due_at")
    _index("deliveries", "call_uuid")
