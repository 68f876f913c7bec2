"""Events and deliveries for tests."""

from __future__ import annotations

import uuid
from typing import Any

from app.domain.clock import now_ms
from app.domain.delivery import Delivery
from app.domain.event import Event
from app.domain.lane import Priority
from app.domain.ports import RawRecord


def event(**given: Any) -> Event:
    """An event, with what the test cares about."""
    values: dict[str, Any] = {"user_id": "user-001", "event_type": "comment_mention", "content": "Something happened"}
    return Event(**(values | given))


def delivery(name: str = "", **given: Any) -> Delivery:
    """A delivery of a fresh notification; what `Event` has goes into its event."""
    name = name or uuid.uuid4().hex
    of_event = {field: given.pop(field) for field in Event.__struct_fields__ if field in given}
    now = now_ms()
    values: dict[str, Any] = {
        "id": name,
        "notification_id": f"n-{name}",
        "channel": "log",
        "priority": Priority.MEDIUM,
        "accepted_at_ms": now,
        "routed_at_ms": now,
        "expires_at_ms": now + 3_600_000,
    }
    return Delivery(event=event(**of_event), **(values | given))


def raw_record(**given: Any) -> RawRecord:
    """An accepted event on its way to Kafka."""
    values: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "user_id": "user-001",
        "event_type": "comment_mention",
        "accepted_at_ms": now_ms(),
        "body": b'{"user_id":"user-001","event_type":"comment_mention","content":"Something happened"}',
    }
    return RawRecord(**(values | given))
