"""What an event comes to: one delivery for each channel, or an outcome of the event as a whole. Pure."""

from __future__ import annotations

from msgspec import Struct

from app.domain.catalogue import Catalogue
from app.domain.channel import CHANNEL_BY_NAME
from app.domain.delivery import Delivery
from app.domain.event import Event
from app.domain.ids import delivery_id
from app.domain.outcome import Reason, Status


class Plan(Struct, frozen=True, kw_only=True):
    """The deliveries; where there are none, `status` and `reason` say why. `expires_at_ms` holds for all of them."""

    deliveries: tuple[Delivery, ...] = ()
    expires_at_ms: int
    status: Status = Status.ACCEPTED
    reason: str = ""


def plan_event(
    notification_id: str,
    event: Event,
    catalogue: Catalogue,
    accepted_at_ms: int,
    now_ms: int,
    traceparent: str = "",
    key_id: str = "",
) -> Plan:
    """Priority, channels and expiry in force for an accepted event."""
    channels = [channel for channel in catalogue.channels(event) if channel in CHANNEL_BY_NAME]
    expires_at_ms = catalogue.expires_at_ms(event, accepted_at_ms)
    if not channels:
        return Plan(expires_at_ms=expires_at_ms, status=Status.FAILED, reason=Reason.NO_CHANNELS)
    if expires_at_ms <= now_ms:
        return Plan(expires_at_ms=expires_at_ms, status=Status.EXPIRED, reason=Reason.TTL)
    deliveries = tuple(
        Delivery(
            id=delivery_id(notification_id, event.user_id, channel),
            notification_id=notification_id,
            channel=channel,
            priority=catalogue.priority(event),
            event=event,
            accepted_at_ms=accepted_at_ms,
            routed_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            traceparent=traceparent,
            key_id=key_id,
        )
        for channel in channels
    )
    return Plan(deliveries=deliveries, expires_at_ms=expires_at_ms)
