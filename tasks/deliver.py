"""Step 4: render, call the provider, and hand each outcome to Kafka as soon as the answer is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from app.domain.batch import Batch, Item
from app.domain.delivery_rules import rendered
from app.domain.ports import Message
from tasks.calls import Call, Calls, bulk_calls, window_calls
from tasks.device_calls import DeviceCalls

if TYPE_CHECKING:
    from tasks.context import StepContext

#: The channel whose messages have a place for the link; what is critical cannot be turned off, and has none.
_HAS_LINK = "email"


def deliver(batch: Batch, context: StepContext) -> Batch:
    """Give every undecided delivery to its provider. Rendering comes first: what cannot be rendered is never called."""
    started_at_ms = context.now_ms()
    try:
        _deliver(batch, context)
    finally:
        batch.deliver_ms = context.now_ms() - started_at_ms
    return batch


def _deliver(batch: Batch, context: StepContext) -> None:
    messages = [(item, message) for item in batch.undecided if (message := _render(item, context)) is not None]
    if not messages:
        return
    channel = messages[0][0].delivery.channel
    providers, simulator = context.channels.providers(channel), context.channels.simulator(channel)
    if not providers and simulator is None:
        raise RuntimeError("validate lets nothing through for a channel without a provider")
    spec = context.channels.spec(channel)
    if spec.has_devices:
        DeviceCalls(batch=batch, context=context, providers=providers, spec=spec, simulator=simulator).run(messages)
        return
    calls = Calls(batch=batch, context=context, providers=providers, spec=spec, simulator=simulator)
    run = bulk_calls if spec.is_bulk else window_calls
    run(calls, [Call(item, message) for item, message in messages])


def _render(item: Item, context: StepContext) -> Message | None:
    rule = context.rule(item.delivery)
    made = rendered(context.renderer, rule, item.delivery, item.recipient, item.address, context.now_ms())
    if not isinstance(made, Message):
        item.verdict = made
        return None
    if item.delivery.channel != _HAS_LINK or rule.critical:
        return made
    return structs.replace(made, unsubscribe_url=context.unsubscribe.link(made.user_id, made.category))
