"""Counts of deliveries, filled from the outcomes that are there."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

from infrastructure.sql.dialect import key
from infrastructure.sql.migrations.steps import create_table, drop_table

revision = "history_0002"
down_revision = "history_0001"
branch_labels = None
depends_on = None

# As app/domain/timeline.py has it: highest pass, highest rank, latest. Statuses that came later are in it, for whoever
# goes back and forward again.
FILL = """
INSERT INTO delivery_counts (hour_ms, channel, event_type, status, reason, deliveries)
SELECT n.accepted_at_ms - n.accepted_at_ms % 3600000, o.channel, n.event_type, o.status, o.reason, COUNT(*)
FROM (
    SELECT notification_id, channel, status, reason, ROW_NUMBER() OVER (
        PARTITION BY notification_id, delivery_id
        ORDER BY pass_no DESC, CASE status
            WHEN 'accepted' THEN 0 WHEN 'parked' THEN 1 WHEN 'unknown' THEN 2 WHEN 'sent' THEN 4
            WHEN 'delivered' THEN 5 WHEN 'failed' THEN 6 WHEN 'bounced' THEN 7 WHEN 'complained' THEN 8 ELSE 3
            END DESC,
            at_ms DESC, channel DESC, status DESC, reason DESC
    ) AS place
    FROM outcomes WHERE delivery_id <> ''
) o JOIN notifications n ON n.id = o.notification_id
WHERE o.place = 1
GROUP BY n.accepted_at_ms - n.accepted_at_ms % 3600000, o.channel, n.event_type, o.status, o.reason
"""


def upgrade() -> None:
    """Make the table and count what is there."""
    create_table(
        "delivery_counts",
        Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
        Column("channel", key(64), primary_key=True),
        Column("event_type", key(64), primary_key=True),
        Column("status", key(64), primary_key=True),
        Column("reason", key(64), primary_key=True),
        Column("deliveries", BigInteger, nullable=False),
    )
    op.execute("DELETE FROM delivery_counts")  # an interrupted run, or a new process after it, may have counted
    op.execute(FILL)


def downgrade() -> None:
    """Drop them."""
    drop_table("delivery_counts")
