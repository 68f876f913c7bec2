"""A notification as clients see it: from its record in the history to the answer's JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from app.domain.catalogue import Catalogue
from app.domain.clock import now_ms
from app.domain.event import Event
from app.domain.ids import delivery_id
from app.domain.outcome import Status
from app.domain.ports import NotificationRecord
from app.domain.timeline import DeliveryState, Step, timeline
from app.http.wire import Rfc3339, rfc3339, rfc3339_or_none


class OutcomeView(Struct, frozen=True, kw_only=True):
    """One outcome. Its pass is counted from 0; `until` says when a parked delivery goes on."""

    status: Status
    at: Rfc3339
    until: Rfc3339 | None
    reason: str
    detail: str
    pass_no: int = msgspec.field(name="pass")
    attempt: int
    provider: str
    provider_id: str


class DeliveryView(Struct, frozen=True, kw_only=True):
    """Where one delivery stands, and how it came there, oldest first."""

    id: str
    channel: str
    status: Status
    reason: str
    until: Rfc3339 | None
    outcomes: list[OutcomeView]


class NotificationView(Struct, frozen=True, kw_only=True):
    """One notification. `outcomes` are those of the event itself; `event` is null until something is known of it."""

    id: str
    status: Status
    reason: str = ""
    accepted_at: Rfc3339 | None = None
    event: Any = None
    deliveries: list[DeliveryView] = []
    outcomes: list[OutcomeView] = []


def notification_view(record: NotificationRecord, catalogue: Catalogue) -> NotificationView:
    """The view of what the history has. Channels of which nothing was heard yet are shown as accepted."""
    shown = timeline(record, _channels(record, catalogue))
    return NotificationView(
        id=shown.id,
        status=shown.status,
        reason=shown.reason,
        accepted_at=rfc3339_or_none(shown.accepted_at_ms),
        event=shown.event,
        deliveries=[_delivery(delivery, record) for delivery in shown.deliveries],
        outcomes=[_outcome(step) for step in shown.outcomes],
    )


def _channels(record: NotificationRecord, catalogue: Catalogue) -> tuple[str, ...]:
    """The channels the event is to go out on; none where it is not known, or not in a form of today.

    None either once it has expired: what has not been heard of by then will not be, and the catalogue of today may
    name channels that it never had.
    """
    try:
        event = msgspec.convert(record.event, Event)
    except msgspec.ValidationError:
        return ()
    return catalogue.channels(event) if now_ms() < catalogue.expires_at_ms(event, record.accepted_at_ms) else ()


def _delivery(delivery: DeliveryState, record: NotificationRecord) -> DeliveryView:
    return DeliveryView(
        id=delivery.id or delivery_id(record.id, record.user_id, delivery.channel),
        channel=delivery.channel,
        status=delivery.status,
        reason=delivery.reason,
        until=rfc3339_or_none(delivery.until_at_ms),
        outcomes=[_outcome(step) for step in delivery.outcomes],
    )


def _outcome(step: Step) -> OutcomeView:
    return OutcomeView(
        status=step.status,
        at=rfc3339(step.at_ms),
        until=rfc3339_or_none(step.until_at_ms),
        reason=step.reason,
        detail=step.detail,
        pass_no=step.pass_no,
        attempt=step.attempt,
        provider=step.provider,
        provider_id=step.provider_id,
    )
