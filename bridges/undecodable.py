"""What is recorded of a record that is none: pure, and for any bytes whatever.

What the record itself says of its user and its time counts where it is sound, so that the user's history shows it, as
the one notification that it is; else nobody and now.
"""

from __future__ import annotations

import msgspec

from app.domain.event import UserId
from app.domain.outcome import Outcome, Reason, Status
from infrastructure.kafka.records import Record

#: What a reason may say: it names a place, and a place may be as long as a key of the client's.
_DETAIL_LENGTH = 500
#: How far the clock of who wrote a record may be ahead of this one.
_AHEAD_MS = 60_000
#: What stands in a key for bytes that are no text.
_NO_TEXT = "\ufffd"


def undecodable(
    record: Record,
    why: str,
    now_ms: int,
    *,
    notification_id: str,
    delivery_id: str = "",
    event_type: str = "",
    channel: str = "",
    accepted_at_ms: object = None,
) -> Outcome:
    """The outcome, by the record's place where it has no id; `accepted_at_ms` is what it says of that, sound or not."""
    place = f"{record.topic}:{record.partition}:{record.offset}"
    times = (accepted_at_ms, record.timestamp_ms)
    return Outcome(
        notification_id=notification_id or place,
        delivery_id=delivery_id,
        user_id=_user_id(record.key),
        event_type=event_type,
        channel=channel,
        status=Status.FAILED,
        reason=Reason.UNDECODABLE,
        detail=f"{place}: {why}"[:_DETAIL_LENGTH],
        at_ms=now_ms,
        accepted_at_ms=next((one for one in times if type(one) is int and 0 < one <= now_ms + _AHEAD_MS), now_ms),
    )


def _user_id(key: str) -> str:
    """Whose record it is: the key of events and deliveries alike. Empty where it is no user id."""
    try:
        return "" if _NO_TEXT in key else msgspec.convert(key, UserId)
    except msgspec.ValidationError:
        return ""
