"""Users, preferences, inbox, parked."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, String

from infrastructure.sql.dialect import body, key, long_text
from infrastructure.sql.migrations.steps import create_index, create_table, drop_table

revision = "main_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    create_table(
        "users",
        Column("user_id", key(128), primary_key=True),
        Column("contacts", body(), nullable=False),
        Column("locale", String(64), nullable=False),
        Column("timezone", String(64), nullable=False),
    )
    create_table(
        "preferences",
        Column("user_id", key(128), primary_key=True),
        Column("body", body(), nullable=False),
    )
    _create_inbox()
    _create_parked()


def downgrade() -> None:
    """Drop them."""
    for table in ("parked", "inbox", "preferences", "users"):
        drop_table(table)


def _create_inbox() -> None:
    create_table(
        "inbox",
        Column("id", key(64), primary_key=True),
        Column("notification_id", key(64), nullable=False),
        Column("user_id", key(128), nullable=False),
        Column("event_type", String(64), nullable=False),
        Column("category", String(64), nullable=False),
        Column("subject", long_text(), nullable=False),
        Column("body", long_text(), nullable=False),
        Column("created_at_ms", BigInteger, nullable=False),
        Column("read_at_ms", BigInteger),
    )
    create_index("inbox_newest", "inbox", ["user_id", "created_at_ms", "id"])
    create_index("inbox_unread", "inbox", ["user_id", "read_at_ms", "created_at_ms", "id"])


def _create_parked() -> None:
    create_table(
        "parked",
        Column("delivery_id", key(64), primary_key=True),
        Column("pass_no", Integer, primary_key=True, autoincrement=False),
        Column("queue", key(64), nullable=False),
        Column("priority_rank", SmallInteger, nullable=False),
        Column("reason", key(64), nullable=False),
        Column("due_at_ms", BigInteger, nullable=False),
        Column("body", body(), nullable=False),
        Column("owner", key(64), nullable=False),
        Column("lease_until_ms", BigInteger, nullable=False),
    )
    create_index("parked_due", "parked", ["priority_rank", "due_at_ms"])
