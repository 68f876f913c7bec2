"""Outcomes as rows of `outcomes_by_notification`, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.domain.codec import decode, encode
from app.domain.lane import Priority
from app.domain.outcome import Outcome, Status
from app.domain.ports import NotificationRecord
from infrastructure.cassandra.batches import Write
from infrastructure.cassandra.client import UNSET, Client
from infrastructure.cassandra.times import content_us

_KEY = ("notification_id", "delivery_id", "pass_no", "attempt", "status")
_TEXTS = ("channel", "priority", "reason", "detail", "provider", "provider_id")
_TIMES = ("at_ms", "until_at_ms", "routed_at_ms")
_SHARED = ("user_id", "event_type", "accepted_at_ms", "event", "forgotten_at_ms")
_READ = (*_KEY, *_TEXTS, *_TIMES, *_SHARED)

INSERT = (
    "INSERT INTO outcomes_by_notification (notification_id, delivery_id, pass_no, attempt, status, user_id,"
    " event_type, accepted_at_ms, event, channel, priority, reason, detail, provider, provider_id, at_ms, until_at_ms,"
    " routed_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
)
SELECT = (
    "SELECT notification_id, delivery_id, pass_no, attempt, status, channel, priority, reason, detail, provider,"
    " provider_id, at_ms, until_at_ms, routed_at_ms, user_id, event_type, accepted_at_ms, event, forgotten_at_ms"
    " FROM outcomes_by_notification WHERE notification_id IN ?"
)


def accepted_ms(outcome: Outcome) -> int:
    """When its event was accepted, as far as is known."""
    return outcome.accepted_at_ms or outcome.at_ms


def outcome_write(client: Client, one: Outcome, ttl_s: int) -> Write:
    """The row; what is empty is left out, so that it takes nothing away that another outcome brought."""
    accepted = accepted_ms(one)
    event = UNSET if one.event is None else encode(one.event)
    values = (
        one.notification_id,
        one.delivery_id,
        one.pass_no,
        one.attempt,
        one.status,
        one.user_id or UNSET,
        one.event_type or UNSET,
        accepted,
        event,
        one.channel or UNSET,
        one.priority,
        one.reason or UNSET,
        one.detail or UNSET,
        one.provider or UNSET,
        one.provider_id or UNSET,
        one.at_ms,
        one.until_at_ms or UNSET,
        one.routed_at_ms or UNSET,
        content_us(accepted, one.at_ms),
        ttl_s,
    )
    return client.bind(INSERT, values)


def records(rows: Iterable[tuple[Any, ...]]) -> dict[str, NotificationRecord]:
    """What the rows tell of each notification, its outcomes oldest first."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        named = dict(zip(_READ, row, strict=True))
        if named["status"] is not None:  # else only what is shared is left
            by_id.setdefault(named["notification_id"], []).append(named)
    return {notification_id: _record(found) for notification_id, found in by_id.items()}


def _record(rows: list[dict[str, Any]]) -> NotificationRecord:
    [shared] = {
        (row["user_id"], row["event_type"], row["accepted_at_ms"], row["event"], row["forgotten_at_ms"]) for row in rows
    }
    user_id, event_type, accepted_at_ms, event, forgotten_at_ms = shared
    if forgotten_at_ms is not None:  # an other event that came to the same id later does not fill it
        user_id = event = None
    known: dict[str, Any] = {
        "user_id": user_id or "",
        "event_type": event_type or "",
        "accepted_at_ms": accepted_at_ms or 0,
    }
    found = [_outcome(row, known) for row in rows]
    return NotificationRecord(
        id=rows[0]["notification_id"],
        event=None if event is None else decode(event, dict[str, Any]),
        outcomes=sorted(found, key=lambda one: (one.at_ms, one.pass_no, one.attempt, one.delivery_id)),
        **known,
    )


def _outcome(row: dict[str, Any], shared: dict[str, Any]) -> Outcome:
    values = {name: row[name] for name in _KEY}
    values |= {name: row[name] or "" for name in _TEXTS} | {name: row[name] or 0 for name in _TIMES}
    values |= {"status": Status(row["status"]), "priority": Priority(row["priority"])}
    return Outcome(**values, **shared)
