"""A message in FCM's form (https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message)."""

from __future__ import annotations

from typing import Any

from app.domain.ports import Message
from infrastructure.channels.push_text import data_of, left_s, shown, topic_of

#: Apple's limit of an apns-collapse-id.
_COLLAPSE_ID_LENGTH = 64


def fcm_message(message: Message) -> dict[str, Any]:
    """The body of `messages:send`. Raises PermanentError (invalid_content) where there is nothing to show.

    What is sent again takes the place of what came before on the device: the delivery's id is its key everywhere.
    """
    return {
        "message": {
            "token": message.address,
            "notification": shown(message)._asdict(),
            "data": data_of(message),
            "android": _android(message),
            "apns": {"headers": _apns(message)},
            "webpush": _webpush(message),
        }
    }


def _android(message: Message) -> dict[str, Any]:
    ttl = {"ttl": f"{left_s(message)}s"} if message.expires_at_ms else {}
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
    ttl = {"TTL": str(left_s(message))} if message.expires_at_ms else {}
    return {
        "headers": ttl | {"Topic": topic_of(message), "Urgency": "high" if message.is_high else "normal"},
        "notification": {"tag": message.delivery_id},
    }
