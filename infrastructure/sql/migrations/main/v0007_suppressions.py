"""Suppressed addresses, and soft bounces."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String

from infrastructure.sql.dialect import key
from infrastructure.sql.migrations.steps import create_index, create_table, drop_table

revision = "main_0007"
down_revision = "main_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "suppressions",
        Column("address_id", key(64), primary_key=True),
        Column("reason", key(64), primary_key=True),
        Column("channel", String(64), nullable=False),
        Column("shown", String(255), nullable=False),
        Column("user_id", key(128), nullable=False),
        Column("since_ms", BigInteger, nullable=False),
        Column("lifted_at_ms", BigInteger, nullable=False),
    )
    create_index("suppressions_of_user", "suppressions", ["user_id"])
    create_index("suppressions_newest", "suppressions", ["since_ms"])
    create_table(
        "soft_bounces",
        Column("address_id", key(64), primary_key=True),
        Column("delivery_id", key(64), primary_key=True),
        Column("at_ms", BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("soft_bounces", "suppressions"):
        drop_table(table)
