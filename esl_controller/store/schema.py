"""The tables. The migrations build them, and a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    }
)


def _of_call(*, key: bool = False) -> Column[str]:
    return Column(
        "call_uuid",
        ForeignKey("calls.call_uuid", ondelete="CASCADE"),
        primary_key=key,
        nullable=False,
    )


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


calls = Table(
    "calls",
    metadata,
    Column("call_uuid", String, primary_key=True),
    _text("domain_uuid"),
    _text("secretary"),
    _text("caller"),
    _text("destination"),
    Column("started_at", Double, index=True),
    Column("ended_at", Double),
    _text("cause"),
    Column("outcome", Text, nullable=False, server_default="", index=True),
    _text("recording"),
    _count("input_text"),
    _count("input_audio"),
    _count("cached"),
    _count("output_text"),
    _count("output_audio"),
    Column("seconds", Double, nullable=False, server_default="0"),
    _text("owner"),  # the controller that has the call
    _count("epoch"),  # how often the call was taken over
    _text("memory"),  # the snapshot, as JSON
    _text("call_ended_url"),  # where to deliver the record if the call is lost
    # When the switch created the channel, in microseconds of Unix time.
    Column("created_us", BigInteger, nullable=False, server_default="0"),
    _text("secretary_id"),  # the secretary that the call began with
)

secretaries = Table(
    "secretaries",
    metadata,
    Column("id", String, primary_key=True),
    _text("file"),  # that it was read from last
    _text("definition"),  # as JSON
    Column("kept_at", Double, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    _of_call(key=True),
    Column("number", Integer, primary_key=True),
    _text("who"),
    _text("text"),
    _text("heard_text"),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("latency_ms", Integer),
    Column("interrupted_ms", Integer),
    Column("audio_ms", Integer),
)

tools = Table(
    "tools",
    metadata,
    _of_call(key=True),
    Column("call_id", String, primary_key=True),
    _text("name"),
    _text("arguments"),
    _text("output"),
    Column("at", Double, nullable=False),
    _count("took_ms"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String, primary_key=True),
    _of_call(),
    _text("name"),
    _text("phone"),
    _text("text"),
    Column("at", Double, nullable=False),
    Index(None, "call_uuid"),
)

notes = Table(
    "notes",
    metadata,
    Column("id", String, primary_key=True),
    _of_call(),
    _text("text"),
    Column("at", Double, nullable=False),
    Index(None, "call_uuid"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String, primary_key=True),
    _of_call(),
    _text("url"),
    _text("kind"),
    _text("body"),
    Column("at", Double, nullable=False),
    _count("attempts"),
    Column("due_at", Double, nullable=False, index=True),
    Index(None, "call_uuid"),
)

controllers = Table(
    "controllers",
    metadata,
    Column("name", String, primary_key=True),
    _text("web"),
    _text("media"),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    _text("state"),
    _text("calls"),  # JSON: its calls and their figures, by UUID
)
