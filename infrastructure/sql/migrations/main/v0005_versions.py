"""Versions of users and preferences."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "main_0005"
down_revision = "main_0004"
branch_labels = None
depends_on = None

TABLES = ("users", "preferences")


def upgrade() -> None:
    """Add them; rows that are there have the first."""
    for table in TABLES:
        op.add_column(table, Column("version", BigInteger, nullable=False, server_default="1"))


def downgrade() -> None:
    """Drop them."""
    for table in TABLES:
        op.drop_column(table, "version")
