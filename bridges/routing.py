"""From a record on `notifications.raw` to deliveries: pure, and for any bytes whatever."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from app.domain.catalogue import Catalogue
from app.domain.channel import CHANNEL_BY_NAME
from app.domain.codec import decode
from app.domain.delivery import RECORD_VERSION, Delivery
from app.domain.errors import UndecodableError
from app.domain.event import Event
from app.domain.ids import delivery_id
from app.domain.outcome import Outcome, Reason, Status
from infrastructure.kafka.records import Record


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
    channels = [channel for channel in catalogue.channels(event) if channel in CHANNEL_BY_NAME]
    expires_at_ms = accepted_at_ms + catalogue.ttl_s(event) * 1000
    if not channels:
        return Routed(outcome=_of_event(record, event, accepted_at_ms, now_ms, Status.FAILED, Reason.NO_CHANNELS))
    if expires_at_ms <= now_ms:
        return Routed(outcome=_of_event(record, event, accepted_at_ms, now_ms, Status.EXPIRED, Reason.TTL))
    notification_id = record.header("ce_id")
    return Routed(
        deliveries=[
            Delivery(
                id=delivery_id(notification_id, event.user_id, channel),
                notification_id=notification_id,
                channel=channel,
                priority=catalogue.priority(event),
                event=event,
                accepted_at_ms=accepted_at_ms,
                routed_at_ms=now_ms,
                expires_at_ms=expires_at_ms,
            )
            for channel in channels
        ]
    )


def _event(record: Record) -> tuple[int, Event]:
    """When the event was accepted, and the event. Raises UndecodableError."""
    if record.header("ce_specversion") != "1.0":
        raise UndecodableError("no CloudEvents 1.0 record: ce_specversion")
    if record.header("ce_recordversion") != str(RECORD_VERSION):
        raise UndecodableError("unknown version: ce_recordversion")
    if not record.header("ce_id"):
        raise UndecodableError("no id: ce_id")
    try:
        accepted_at = datetime.fromisoformat(record.header("ce_time"))
        accepted_at_ms = round(accepted_at.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UndecodableError("no time: ce_time") from error
    return accepted_at_ms, decode(record.value, Event)


def _undecodable(record: Record, why: str, now_ms: int) -> Outcome:
    place = f"{record.topic}:{record.partition}:{record.offset}"
    return Outcome(
        notification_id=record.header("ce_id") or place,
        user_id="",
        event_type=record.header("ce_type"),
        status=Status.FAILED,
        reason=Reason.UNDECODABLE,
        detail=f"{place}: {why}",
        at_ms=now_ms,
        accepted_at_ms=now_ms,
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
    )
