"""Notifications and outcomes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Text

from infrastructure.sql.dialect import body, key
from infrastructure.sql.migrations.steps import create_index, create_table, drop_table

revision = "history_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "notifications",
        Column("id", key(64), primary_key=True),
        Column("user_id", key(128), nullable=False),
        Column("event_type", String(64), nullable=False),
        Column("accepted_at_ms", BigInteger, nullable=False),
        Column("event", body()),
    )
    create_index("notifications_newest", "notifications", ["user_id", "accepted_at_ms", "id"])
    create_table(
        "outcomes",
        Column("notification_id", key(64), primary_key=True),
        Column("delivery_id", key(64), primary_key=True),
        Column("pass_no", Integer, primary_key=True, autoincrement=False),
        Column("attempt", Integer, primary_key=True, autoincrement=False),
        Column("status", key(64), primary_key=True),
        Column("channel", String(64), nullable=False),
        Column("priority", String(64), nullable=False),
        Column("reason", String(64), nullable=False),
        Column("detail", Text, nullable=False),
        Column("provider", String(64), nullable=False),
        Column("provider_id", String(255), nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        Column("until_at_ms", BigInteger, nullable=False),
        Column("routed_at_ms", BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    drop_table("outcomes")
    drop_table("notifications")
