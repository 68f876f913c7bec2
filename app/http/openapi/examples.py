"""Bodies as they may be sent: shown in the document, and sent by a test."""

from __future__ import annotations

from typing import Any, Final

EVENT: Final[dict[str, Any]] = {
    "user_id": "user-001",
    "event_type": "security_alert",
    "content": "Suspicious login attempt detected from a new device",
    "metadata": {
        "device": "Unknown iPhone",
        "location": "Somewhere in the world",
        "ip_address": "203.0.113.42",
        "timestamp": 1732270000,
    },
}
BATCH: Final[list[dict[str, Any]]] = [
    {"user_id": "user-001", "event_type": "weekly_digest", "content": {"items": ["one", "two"]}},
    {
        "user_id": "user-002",
        "event_type": "order_shipped",
        "content": "Your order has left our warehouse.",
        "options": {"channels": ["email"], "to": {"email": "user-002@example.com"}},
        "idempotency_key": "order-7-shipped",
    },
]
ACCEPTED: Final = {"id": "01a203a7-b81b-7fa3-88a0-d7f956e6663d", "status": "accepted"}
USER: Final = {
    "contacts": {"email": "user-002@example.com", "phone": "+4930123456"},
    "locale": "de",
    "timezone": "Europe/Berlin",
}
PREFERENCES: Final = {
    "channels": {"marketing": {"*": False}, "*": {"sms": False}},
    "muted_until": None,
    "quiet_hours": {"start": "22:00", "end": "07:00"},
}
DEVICE: Final = {"platform": "fcm", "token": "an-FCM-registration-token", "app": "Shop 4.2 on a Pixel", "locale": "de"}
