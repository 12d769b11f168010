"""The secretaries that were in force, and which of them a call began with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table of the secretaries, and the column that refers to it."""
    op.create_table(
        "secretaries",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("file", sa.Text, nullable=False, server_default=""),
        sa.Column("definition", sa.Text, nullable=False, server_default=""),
        sa.Column("kept_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="secretaries_pkey"),
    )
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("secretary_id", sa.Text, nullable=False, server_default=""))
