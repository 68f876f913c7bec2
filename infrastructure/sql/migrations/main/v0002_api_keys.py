"""API keys."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String

from infrastructure.sql.dialect import digest, key
from infrastructure.sql.migrations.steps import create_table, drop_table

revision = "main_0002"
down_revision = "main_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    create_table(
        "api_keys",
        Column("id", key(64), primary_key=True),
        Column("name", String(64), nullable=False),
        Column("scopes", String(64), nullable=False),
        Column("rate_limit", String(64), nullable=False),
        Column("digest", digest(32), nullable=False),
        Column("created_at_ms", BigInteger, nullable=False),
        Column("revoked_at_ms", BigInteger, nullable=False),
        Column("last_used_at_ms", BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    drop_table("api_keys")
