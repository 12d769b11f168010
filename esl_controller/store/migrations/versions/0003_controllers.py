"""Who is there, and which calls nobody has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of the controllers, and what it takes to end a call in place of one."""
    op.create_table(
        "controllers",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("web", sa.Text, nullable=False, server_default=""),
        sa.Column("media", sa.Text, nullable=False, server_default=""),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default=""),
        sa.Column("calls", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("name", name="controllers_pkey"),
    )
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("call_ended_url", sa.Text, nullable=False, server_default=""))
    op.create_index("calls_outcome_idx", "calls", ["outcome"])
