"""What tells a call's channel from another one that names its UUID."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add when the channel was created."""
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("created_us", sa.BigInteger, nullable=False, server_default="0"))
