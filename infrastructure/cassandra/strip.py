"""What takes content out of an outcome's rows and leaves the bare facts.

The deletions carry the time at which the user was forgotten: they beat whatever is written of events accepted until
then, were it written later.
"""

from __future__ import annotations

from app.domain.outcome import Outcome
from infrastructure.cassandra.batches import Write
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.rows import accepted_ms
from infrastructure.cassandra.times import forgotten_us, month_of

DELETE_TEXTS = (
    "DELETE detail, provider_id FROM outcomes_by_notification USING TIMESTAMP ? WHERE notification_id = ?"
    " AND delivery_id = ? AND pass_no = ? AND attempt = ? AND status = ?"
)
DELETE_SHARED = "DELETE user_id, event FROM outcomes_by_notification USING TIMESTAMP ? WHERE notification_id = ?"
MARK_FORGOTTEN = (
    "INSERT INTO outcomes_by_notification (notification_id, forgotten_at_ms) VALUES (?, ?) USING TIMESTAMP ? AND TTL ?"
)
_DELETE_LISTED = (
    "DELETE FROM notifications_by_user USING TIMESTAMP ? WHERE user_id = ? AND month = ? AND accepted_at_ms = ?"
    " AND notification_id = ?"
)
Key = tuple[str, int, int, str]


def strip_writes(client: Client, one: Outcome, forgotten_at_ms: int, ttl_s: int) -> list[Write]:
    """For one outcome of a forgotten user, and what its notification shares."""
    at_ms, us = accepted_ms(one), forgotten_us(forgotten_at_ms)
    key = (one.delivery_id, one.pass_no, one.attempt, str(one.status))
    return [
        *notification_writes(client, one.notification_id, [key], forgotten_at_ms, ttl_s),
        client.bind(_DELETE_LISTED, (us, one.user_id, month_of(at_ms), at_ms, one.notification_id)),
    ]


def notification_writes(
    client: Client, notification_id: str, keys: list[Key], forgotten_at_ms: int, ttl_s: int
) -> list[Write]:
    """For a notification and those of its outcomes."""
    us = forgotten_us(forgotten_at_ms)
    return [
        client.bind(DELETE_SHARED, (us, notification_id)),
        client.bind(MARK_FORGOTTEN, (notification_id, forgotten_at_ms, us, ttl_s)),
        *(client.bind(DELETE_TEXTS, (us, notification_id, *key)) for key in keys),
    ]
