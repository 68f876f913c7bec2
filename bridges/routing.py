"""From a record on `notifications.raw` to deliveries: pure, and for any bytes whatever."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from app.domain.api_key import read_key_id
from app.domain.catalogue import Catalogue
from app.domain.codec import decode
from app.domain.delivery import RECORD_VERSION, Delivery
from app.domain.errors import UndecodableError
from app.domain.event import MAX_EVENT_BYTES, Event
from app.domain.event_plan import plan_event
from app.domain.event_rules import tree_violations
from app.domain.outcome import Outcome, Status
from app.domain.trace import read_traceparent
from bridges.undecodable import undecodable
from infrastructure.kafka.records import Record

#: Longest id and event type that are passed on; ours are shorter.
_ID_LENGTH = 64


class Routed(Struct, frozen=True):
    """What a record came to: deliveries, or an outcome of the event as a whole. `is_dead`: for `notifications.dead`."""

    deliveries: list[Delivery] = []
    outcome: Outcome | None = None
    is_dead: bool = False


def route(record: Record, catalogue: Catalogue, now_ms: int) -> Routed:
    """Settle priority, channels and expiry. Raises nothing: what cannot be routed becomes an event-level outcome."""
    try:
        accepted_at_ms, event = _event(record)
    except UndecodableError as error:
        return Routed(outcome=_undecodable(record, str(error), now_ms), is_dead=True)
    traceparent, key_id = read_traceparent(record.header("ce_traceparent")), read_key_id(record.header("ce_keyid"))
    plan = plan_event(record.header("ce_id"), event, catalogue, accepted_at_ms, now_ms, traceparent, key_id)
    if not plan.deliveries:
        return Routed(outcome=_of_event(record, event, accepted_at_ms, now_ms, plan.status, plan.reason))
    return Routed(deliveries=list(plan.deliveries))


def _event(record: Record) -> tuple[int, Event]:
    """When the event was accepted, and the event. Raises UndecodableError."""
    if record.header("ce_specversion") != "1.0":
        raise UndecodableError("no CloudEvents 1.0 record: ce_specversion")
    if record.header("ce_recordversion") != str(RECORD_VERSION):
        raise UndecodableError("unknown version: ce_recordversion")
    if not 0 < len(record.header("ce_id")) <= _ID_LENGTH:
        raise UndecodableError("no id: ce_id")
    return _accepted_at_ms(record), _body(record.value)


def _accepted_at_ms(record: Record) -> int:
    try:
        accepted_at = datetime.fromisoformat(record.header("ce_time"))
        if accepted_at.tzinfo is None:
            raise UndecodableError("no time zone: ce_time")
        return round(accepted_at.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UndecodableError("no time: ce_time") from error


def _body(body: bytes) -> Event:
    """The event. What intake would not have let through is refused: as part of larger records it would stop others."""
    if len(body) > MAX_EVENT_BYTES:
        raise UndecodableError(f"is larger than {MAX_EVENT_BYTES} bytes")
    event = decode(body, Event)
    for violation in tree_violations(event, body):
        raise UndecodableError(violation.detail)
    return event


def _undecodable(record: Record, why: str, now_ms: int) -> Outcome:
    notification_id = record.header("ce_id")
    try:
        accepted_at_ms = _accepted_at_ms(record)
    except UndecodableError:
        accepted_at_ms = None
    return undecodable(
        record,
        why,
        now_ms,
        notification_id=notification_id if len(notification_id) <= _ID_LENGTH else "",
        event_type=record.header("ce_type")[:_ID_LENGTH],
        accepted_at_ms=accepted_at_ms,
    )


def _of_event(record: Record, event: Event, accepted_at_ms: int, now_ms: int, status: Status, reason: str) -> Outcome:
    return Outcome(
        notification_id=record.header("ce_id"),
        user_id=event.user_id,
        event_type=event.event_type,
        status=status,
        reason=reason,
        at_ms=now_ms,
        accepted_at_ms=accepted_at_ms,
        routed_at_ms=now_ms,
        event=event,
        key_id=read_key_id(record.header("ce_keyid")),
    )
