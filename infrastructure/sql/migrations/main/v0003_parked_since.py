"""When a row was parked."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from infrastructure.sql.migrations.steps import add_column, drop_column

revision = "main_0003"
down_revision = "main_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it; of rows that are there it is not known (0)."""
    add_column("parked", Column("parked_at_ms", BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop it."""
    drop_column("parked", "parked_at_ms")
