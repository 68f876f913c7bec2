"""Routing with a span of its own, which the deliveries continue; without an export it costs nothing."""

from __future__ import annotations

from msgspec import structs

from app.domain.catalogue import Catalogue
from app.domain.clock import now_ms
from app.domain.trace import Tracer
from bridges.routing import Routed, route
from infrastructure.kafka.records import Record


def traced_route(record: Record, catalogue: Catalogue, tracer: Tracer) -> Routed:
    """As `route`."""
    started_at_ms = now_ms()
    routed = route(record, catalogue, started_at_ms)
    if not tracer.is_on or not routed.deliveries:
        return routed
    first = routed.deliveries[0]
    span = tracer.start(
        "route",
        parent=first.traceparent,
        attributes={
            "notification.id": first.notification_id,
            "lanes": [delivery.lane.queue for delivery in routed.deliveries],
        },
        started_at_ms=started_at_ms,
    )
    span.end()
    deliveries = [structs.replace(delivery, traceparent=span.traceparent) for delivery in routed.deliveries]
    return structs.replace(routed, deliveries=deliveries)
