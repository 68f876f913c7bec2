"""Callbacks to senders: who receives them, and those that wait."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String

from infrastructure.sql.dialect import body, key, long_text
from infrastructure.sql.migrations.steps import create_index, create_table, drop_table

revision = "main_0008"
down_revision = "main_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "callback_receivers",
        Column("key_id", key(64), primary_key=True),
        Column("url", long_text(), nullable=False),
        Column("salt", String(64), nullable=False),
        Column("since_ms", BigInteger, nullable=False),
        Column("failing_since_ms", BigInteger, nullable=False),
        Column("last_error", String(64), nullable=False),
        Column("disabled_at_ms", BigInteger, nullable=False),
        Column("disabled_why", String(64), nullable=False),
    )
    create_table(
        "callbacks",
        Column("id", key(64), primary_key=True),
        Column("key_id", key(64), nullable=False),
        Column("body", body(), nullable=False),
        Column("made_at_ms", BigInteger, nullable=False),
        Column("due_at_ms", BigInteger, nullable=False),
        Column("tries", Integer, nullable=False),
    )
    create_index("callbacks_due", "callbacks", ["key_id", "due_at_ms"])


def downgrade() -> None:
    """Drop them."""
    drop_table("callbacks")
    drop_table("callback_receivers")
