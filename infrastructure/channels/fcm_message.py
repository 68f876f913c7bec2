"""A message in FCM's form (https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message)."""

from __future__ import annotations

import hashlib
from typing import Any

from app.domain.clock import now_ms
from app.domain.errors import PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message

#: FCM takes 4,096 bytes of content; beside title and body there are ids and names, which are short.
_TITLE_BYTES = 512
_BODY_BYTES = 2048
#: The longest that FCM keeps a message: four weeks.
_LONGEST_S = 28 * 24 * 3600
#: RFC 8030, section 5.4: a Topic has at most 32 characters of the URL-safe base64 alphabet.
_TOPIC_BYTES = 16
#: Apple's limit of an apns-collapse-id.
_COLLAPSE_ID_LENGTH = 64


def fcm_message(message: Message) -> dict[str, Any]:
    """The body of `messages:send`. Raises PermanentError (invalid_content) where there is nothing to show.

    What is sent again takes the place of what came before on the device: the delivery's id is its key everywhere.
    """
    title, body = message.subject.strip(), message.text.strip()
    if not title and not body:
        raise PermanentError(Reason.INVALID_CONTENT, "nothing to show")
    ids = {"notification_id": message.notification_id, "delivery_id": message.delivery_id}
    return {
        "message": {
            "token": message.address,
            "notification": {"title": _cut(title, _TITLE_BYTES), "body": _cut(body, _BODY_BYTES)},
            "data": ids | {"event_type": message.event_type, "category": message.category},
            "android": _android(message),
            "apns": {"headers": _apns(message)},
            "webpush": _webpush(message),
        }
    }


def _android(message: Message) -> dict[str, Any]:
    ttl = {"ttl": f"{_left_s(message)}s"} if message.expires_at_ms else {}
    return ttl | {
        "collapse_key": message.delivery_id,
        "priority": "HIGH" if message.is_high else "NORMAL",
        # On the device, too: a collapse key counts only until the message has reached it.
        "notification": {"tag": message.delivery_id},
    }


def _apns(message: Message) -> dict[str, str]:
    expiry = {"apns-expiration": str(message.expires_at_ms // 1000)} if message.expires_at_ms else {}
    return expiry | {
        "apns-collapse-id": message.delivery_id[:_COLLAPSE_ID_LENGTH],
        "apns-priority": "10" if message.is_high else "5",
    }


def _webpush(message: Message) -> dict[str, Any]:
    ttl = {"TTL": str(_left_s(message))} if message.expires_at_ms else {}
    topic = hashlib.blake2b(message.delivery_id.encode(), digest_size=_TOPIC_BYTES).hexdigest()
    return {
        "headers": ttl | {"Topic": topic, "Urgency": "high" if message.is_high else "normal"},
        "notification": {"tag": message.delivery_id},
    }


def _left_s(message: Message) -> int:
    """Seconds until nobody wants it any more. Of 0 FCM makes now or never, which is what the last second comes to."""
    return min(max(0, (message.expires_at_ms - now_ms()) // 1000), _LONGEST_S)


def _cut(text: str, limit_bytes: int) -> str:
    """The text, or as much of it as fits, with an ellipsis."""
    encoded = text.encode()
    if len(encoded) <= limit_bytes:
        return text
    return encoded[: limit_bytes - len("…".encode())].decode(errors="ignore") + "…"
