"""What a call needs to go on in another process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("owner", sa.Text, nullable=False, server_default=""))
        calls.add_column(sa.Column("epoch", sa.Integer, nullable=False, server_default="0"))
        calls.add_column(sa.Column("memory", sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("turns") as turns:
        turns.add_column(sa.Column("audio_ms", sa.Integer))


def downgrade() -> None:
    with op.batch_alter_table("turns") as turns:
        turns.drop_column("audio_ms")
    with op.batch_alter_table("calls") as calls:
        calls.drop_column("memory")
        calls.drop_column("epoch")
        calls.drop_column("owner")
