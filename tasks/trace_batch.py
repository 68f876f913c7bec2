"""The span of a batch, linked to its deliveries' traces: from its sending to its record."""

from __future__ import annotations

from app.domain.batch import Batch
from app.domain.trace import Tracer

#: Notification ids that the span names itself; its links name as many.
_IDS = 128


def trace_batch(batch: Batch, tracer: Tracer) -> None:
    """To be called when the batch is recorded; does nothing where nobody sees spans."""
    if not tracer.is_on:
        return
    deliveries = [item.delivery for item in batch.items[:_IDS]]
    span = tracer.start(
        "batch",
        attributes={
            "lane": batch.head.queue,
            "deliveries": len(batch.items),
            "notification.ids": [delivery.notification_id for delivery in deliveries],
        },
        links=[(delivery.traceparent, delivery.notification_id) for delivery in deliveries],
        started_at_ms=batch.head.sent_at_ms,
    )
    span.end()
