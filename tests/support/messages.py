"""Messages to hand to providers."""

from __future__ import annotations

from typing import Any

from app.domain.ports import Message


def message(delivery_id: str = "d-1", **given: Any) -> Message:
    """A message, with what the test cares about."""
    values: dict[str, Any] = {
        "delivery_id": delivery_id,
        "notification_id": "n-1",
        "user_id": "user-001",
        "event_type": "security_alert",
        "category": "security",
        "address": "user@example.com",
        "subject": "A new device",
        "text": "Suspicious login attempt",
        "html": "<p>Suspicious login attempt</p>",
        "metadata": {"device": "Unknown iPhone"},
        "created_at_ms": 1_732_270_000_000,
    }
    return Message(**(values | given))
