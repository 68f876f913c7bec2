"""Versions of users and preferences."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from infrastructure.sql.migrations.steps import add_column, drop_column

revision = "main_0005"
down_revision = "main_0004"
branch_labels = None
depends_on = None

TABLES = ("users", "preferences")


def upgrade() -> None:
    """Add them; rows that are there have the first."""
    for table in TABLES:
        add_column(table, Column("version", BigInteger, nullable=False, server_default="1"))


def downgrade() -> None:
    """Drop them."""
    for table in TABLES:
        drop_column(table, "version")
