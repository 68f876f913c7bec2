"""Step 4: render, call the provider, and hand each outcome to Kafka as soon as the answer is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.batch import Batch, Item
from app.domain.errors import PermanentError
from app.domain.outcome import Status
from app.domain.ports import Message
from tasks.calls import Calls, bulk_calls, window_calls
from tasks.verdicts import final

if TYPE_CHECKING:
    from tasks.context import StepContext


def deliver(batch: Batch, context: StepContext) -> Batch:
    """Give every undecided delivery to its provider. Rendering comes first: what cannot be rendered is never called."""
    started_at_ms = context.now_ms()
    try:
        _deliver(batch, context)
    finally:
        batch.deliver_ms = context.now_ms() - started_at_ms
    return batch


def _deliver(batch: Batch, context: StepContext) -> None:
    rendered = [(item, message) for item in batch.undecided if (message := _render(item, context)) is not None]
    if not rendered:
        return
    channel = rendered[0][0].delivery.channel
    provider = context.channels.provider(channel)
    if provider is None:
        raise RuntimeError("validate lets nothing through for a channel without a provider")
    spec = context.channels.spec(channel)
    calls = Calls(batch=batch, context=context, provider=provider, spec=spec)
    run = bulk_calls if spec.is_bulk else window_calls
    run(calls, rendered)


def _render(item: Item, context: StepContext) -> Message | None:
    delivery = item.delivery
    rule = context.rule(delivery)
    try:
        subject, text, html = context.renderer.render(rule, delivery, item.recipient)
    except PermanentError as error:
        item.verdict = final(context, Status.FAILED, error.reason, error.detail)
        return None
    return Message(
        delivery_id=delivery.id,
        notification_id=delivery.notification_id,
        user_id=delivery.event.user_id,
        event_type=delivery.event.event_type,
        category=rule.category,
        address=item.address,
        subject=subject,
        text=text,
        html=html,
        metadata=delivery.event.metadata,
        created_at_ms=delivery.accepted_at_ms,
    )
