"""Callbacks: what the sender of a notification is told of its deliveries, to the URL that belongs to its API key.

A callback is made of an outcome's record, and carries ids, words and a time: no content, no address, no user, so that
nothing personal waits for days in a table. Format and schedule are those of https://www.standardwebhooks.com/.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from app.domain.codec import encode
from app.domain.rfc3339 import LATEST_MS, Rfc3339, rfc3339

#: What a status is told as. Statuses are texts here: a record may have one that only later versions know.
TYPES: Final[Mapping[str, str]] = {
    "sent": "notification.sent",
    "delivered": "notification.delivered",
    "suppressed": "notification.suppressed",
    "cancelled": "notification.suppressed",
    "failed": "notification.failed",
    "expired": "notification.failed",
    "unknown": "notification.failed",
    "bounced": "notification.failed",
    "complained": "notification.failed",
}
TEST_TYPE: Final = "callback.test"

#: Seconds to the next try, by the tries there were; afterwards the last one again.
SCHEDULE_S: Final = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
#: A wait is longer by up to this part of it, so that what failed together does not come back together.
_JITTER: Final = 0.1

_SALT_BYTES: Final = 16
_ID_DIGITS: Final = 32
# Apart from whatever else the service's secret signs.
_PURPOSE: Final = b"notify/callback\0"


class Told(Struct, frozen=True, kw_only=True):
    """As much of an outcome's record as callbacks are made of; what else is in it is skipped."""

    notification_id: str
    delivery_id: str = ""
    event_type: str
    channel: str = ""
    pass_no: int = 0
    status: str
    reason: str = ""
    at_ms: int
    key_id: str = ""


class CallbackData(Struct, frozen=True, kw_only=True):
    """How a delivery ended; without `delivery_id` and `channel` it is told of the event as a whole."""

    notification_id: str
    delivery_id: str | None
    channel: str | None
    event_type: str
    status: str
    reason: str | None


class CallbackBody(Struct, frozen=True, kw_only=True):
    """What is posted. `timestamp` is when it ended."""

    type: str
    timestamp: Rfc3339
    data: CallbackData


class CallbackReceiver(Struct, frozen=True, kw_only=True):
    """Where the callbacks of one API key go. Times are Unix milliseconds, 0 for never.

    `salt` makes its signing secret. Outcomes from before `since_ms` are not told. `failing_since_ms`: the first failure
    since it last took one; `last_error`: what the latest one was.
    """

    key_id: str
    url: str
    salt: str
    since_ms: int
    failing_since_ms: int = 0
    last_error: str = ""
    disabled_at_ms: int = 0
    disabled_why: str = ""


class Callback(Struct, frozen=True, kw_only=True):
    """One message to a sender, the same over all tries. `tries`: calls that were not taken. Times as above."""

    id: str
    key_id: str
    body: bytes
    made_at_ms: int
    due_at_ms: int
    tries: int = 0


def callback_of(told: Told, now_ms: int) -> Callback | None:
    """The callback that tells it; None for what is not told: nothing has ended.

    The same record gives the same id, whoever reads it how often: receivers know a repetition by it.
    """
    kind = TYPES.get(told.status)
    if kind is None:
        return None
    data = CallbackData(
        notification_id=told.notification_id,
        delivery_id=told.delivery_id or None,
        channel=told.channel or None,
        event_type=told.event_type,
        status=told.status,
        reason=told.reason or None,
    )
    parts = (told.key_id, told.notification_id, told.delivery_id, str(told.pass_no), told.status, told.reason)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_ID_DIGITS]
    return Callback(
        id=f"cb_{digest}",
        key_id=told.key_id,
        body=encode(CallbackBody(type=kind, timestamp=rfc3339(min(max(0, told.at_ms), LATEST_MS)), data=data)),
        made_at_ms=now_ms,
        due_at_ms=now_ms,
    )


def trial_callback(receiver: CallbackReceiver, now_ms: int) -> Callback:
    """A callback that tells nothing."""
    return Callback(
        id=f"cb_test_{secrets.token_hex(_ID_DIGITS // 4)}",
        key_id=receiver.key_id,
        body=encode({"type": TEST_TYPE, "timestamp": rfc3339(now_ms), "data": {"key_id": receiver.key_id}}),
        made_at_ms=now_ms,
        due_at_ms=now_ms,
    )


def new_salt() -> str:
    """What makes a fresh signing secret."""
    return secrets.token_hex(_SALT_BYTES)


def signing_secret(receiver: CallbackReceiver, secret: bytes) -> str:
    """The `whsec_...` that the receiver checks with. Derived from the service's `secret`, so that none is stored."""
    digest = hmac.digest(secret, _PURPOSE + f"{receiver.key_id}\0{receiver.salt}".encode(), "sha256")
    return f"whsec_{base64.b64encode(digest).decode()}"


def next_try_ms(
    callback: Callback, *, now_ms: int, longest_s: float, asked_s: float, random: Callable[[], float]
) -> int | None:
    """When one that was not taken is tried again; None where that would be `longest_s` or more after it was made.

    `asked_s` is what the receiver asked to be left alone for. `random` gives numbers from 0 up to 1.
    """
    delay_s = max(SCHEDULE_S[min(callback.tries, len(SCHEDULE_S) - 1)], asked_s) * (1 + _JITTER * random())
    at_ms = now_ms + round(delay_s * 1000)
    return at_ms if at_ms < callback.made_at_ms + longest_s * 1000 else None
