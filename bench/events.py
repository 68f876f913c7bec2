"""What is sent: the example event, on one channel, to users who are in the database."""

from __future__ import annotations

import json
from collections.abc import Iterator

from app.domain.clock import now_ms
from app.domain.ids import delivery_id, new_id
from app.domain.ports import RawRecord

USERS = 20_000
CHANNEL = "log"
PRIORITY = "medium"
EVENT_TYPE = "security_alert"
CONTENT = "Suspicious login attempt detected from a new device"
METADATA = {
    "device": "Unknown iPhone",
    "location": "Somewhere in the world",
    "ip_address": "203.0.113.42",
    "timestamp": 1732270000,
}


def user(number: int, users: int = USERS) -> str:
    """The id of one of so many users."""
    return f"bench-{number % users:05}"


def event(number: int, *, priority: str = PRIORITY, channel: str = CHANNEL, users: int = USERS) -> dict[str, object]:
    """What a client posts."""
    return {
        "user_id": user(number, users),
        "event_type": EVENT_TYPE,
        "content": CONTENT,
        "metadata": METADATA,
        "options": {"priority": priority, "channels": [channel]},
    }


def raw_records(
    count: int, secret: bytes, priority: str = PRIORITY, users: int = USERS, first: int = 0
) -> Iterator[RawRecord]:
    """Accepted events on their way to Kafka, to as many of the users as there are events, evenly spread.

    `first` shifts them, so that another round is about others.
    """
    for number in (first + (index * users // count if count < users else index) for index in range(count)):
        yield RawRecord(
            id=new_id(secret),
            user_id=user(number, users),
            event_type=EVENT_TYPE,
            accepted_at_ms=now_ms(),
            body=json.dumps(event(number, priority=priority, users=users)).encode(),
            is_low=priority == "low",
        )


def delivery_of(record: RawRecord) -> str:
    """The id of the one delivery of such an event."""
    return delivery_id(record.id, record.user_id, CHANNEL)
