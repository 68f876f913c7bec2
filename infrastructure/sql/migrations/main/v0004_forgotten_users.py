"""Who was forgotten, and whose each parked delivery is."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

from infrastructure.sql.dialect import SERVERS, key
from infrastructure.sql.migrations.steps import (
    add_column,
    create_index,
    create_table,
    drop_column,
    drop_index,
    drop_table,
)

revision = "main_0004"
down_revision = "main_0003"
branch_labels = None
depends_on = None

FILL_SQLITE = """
UPDATE parked SET user_id = COALESCE(json_extract(CAST(body AS TEXT), '$.event.user_id'), '')
WHERE json_valid(CAST(body AS TEXT))
"""
# IGNORE: a body that is no UTF-8 is left without a user, as one that is no JSON.
FILL_SERVER = """
UPDATE IGNORE parked
SET user_id = COALESCE(JSON_UNQUOTE(JSON_EXTRACT(CONVERT(body USING utf8mb4), '$.event.user_id')), '')
WHERE JSON_VALID(CONVERT(body USING utf8mb4))
"""


def upgrade() -> None:
    """Make the table; add the column, fill it from the deliveries."""
    create_table(
        "forgotten_users",
        Column("user_hash", key(64), primary_key=True),
        Column("forgotten_at_ms", BigInteger, nullable=False),
    )
    add_column("parked", Column("user_id", key(128), nullable=False, server_default=""))
    op.execute(FILL_SERVER if op.get_bind().dialect.name in SERVERS else FILL_SQLITE)
    create_index("parked_of_user", "parked", ["user_id"])


def downgrade() -> None:
    """Drop them."""
    drop_index("parked_of_user", "parked")
    drop_column("parked", "user_id")
    drop_table("forgotten_users")
