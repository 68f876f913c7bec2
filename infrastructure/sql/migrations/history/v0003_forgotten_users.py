"""Who was forgotten."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from infrastructure.sql.dialect import key
from infrastructure.sql.migrations.steps import create_table, drop_table

revision = "history_0003"
down_revision = "history_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    create_table(
        "forgotten_users",
        Column("user_hash", key(64), primary_key=True),
        Column("forgotten_at_ms", BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    drop_table("forgotten_users")
