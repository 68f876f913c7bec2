"""What a device is shown, cut to what push services take, and the headers that two of them have in common."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.errors import PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message

#: Push services take 4,096 bytes of content; beside title and body there are ids and names, which are short.
TITLE_BYTES: Final = 512
BODY_BYTES: Final = 2048
#: The longest that a push service keeps a message: four weeks.
LONGEST_S: Final = 28 * 24 * 3600
#: RFC 8030, section 5.4: a Topic has at most 32 characters of the URL-safe base64 alphabet.
_TOPIC_BYTES = 16
#: What one character takes in JSON at most: `\\u0000`.
_CHARACTER_BYTES = 6
_QUOTES = 2


class Shown(NamedTuple):
    """The texts of a notification."""

    title: str
    body: str


def shown(message: Message) -> Shown:
    """What fits. Raises PermanentError (invalid_content) where there is nothing to show."""
    title, body = message.subject.strip(), message.text.strip()
    if not title and not body:
        raise PermanentError(Reason.INVALID_CONTENT, "nothing to show")
    return Shown(cut(title, TITLE_BYTES), cut(body, BODY_BYTES))


def data_of(message: Message) -> dict[str, Any]:
    """What the app is told beside the texts."""
    ids = {"notification_id": message.notification_id, "delivery_id": message.delivery_id}
    return ids | {"event_type": message.event_type, "category": message.category}


def topic_of(message: Message) -> str:
    """The Topic of Web Push: the same for each time the delivery is sent."""
    return hashlib.blake2b(message.delivery_id.encode(), digest_size=_TOPIC_BYTES).hexdigest()


def left_s(message: Message) -> int:
    """Seconds until nobody wants it any more. 0 is now or never, which is what the last second comes to."""
    return min(max(0, (message.expires_at_ms - now_ms()) // 1000), LONGEST_S)


def cut(text: str, limit_bytes: int) -> str:
    """The text, or as much of it as takes so many bytes in JSON, with an ellipsis."""
    if len(text) <= limit_bytes and _size(text) <= limit_bytes:
        return text
    room = limit_bytes - len("…".encode())
    kept = text[:room]
    while (surplus := _size(kept) - room) > 0:
        kept = kept[: -max(1, surplus // _CHARACTER_BYTES)]
    return kept + "…"


def _size(text: str) -> int:
    return len(encode(text)) - _QUOTES
