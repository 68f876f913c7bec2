"""Devices of users."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String

from infrastructure.sql.dialect import key, long_text
from infrastructure.sql.migrations.steps import create_index, create_table, drop_table

revision = "main_0006"
down_revision = "main_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    create_table(
        "devices",
        Column("id", key(64), primary_key=True),
        Column("user_id", key(128), nullable=False),
        Column("platform", String(64), nullable=False),
        Column("token", long_text(), nullable=False),
        Column("app", String(64), nullable=False),
        Column("locale", String(64), nullable=False),
        Column("registered_at_ms", BigInteger, nullable=False),
    )
    create_index("devices_of_user", "devices", ["user_id", "registered_at_ms"])


def downgrade() -> None:
    """Drop it."""
    drop_table("devices")
