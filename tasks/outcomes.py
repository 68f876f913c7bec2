"""From a verdict to the record on `notifications.outcomes`, and to the row of the parked table."""

from __future__ import annotations

from msgspec import structs

from app.domain.batch import Item, Verdict
from app.domain.delivery import Delivery, Parked
from app.domain.forgetting import without_content
from app.domain.outcome import Outcome
from app.domain.target_rules import carried
from app.domain.trace import trace_of


def ids(item: Item) -> dict[str, str]:
    """What a log line about the delivery carries."""
    delivery = item.delivery
    return {"notification_id": delivery.notification_id, "delivery_id": delivery.id, **trace_of(delivery.traceparent)}


def outcome_of(item: Item, verdict: Verdict) -> Outcome:
    """What is recorded of the delivery in this pass."""
    outcome = item.delivery.outcome(
        status=verdict.status, reason=verdict.reason, at_ms=verdict.at_ms, attempt=item.attempt
    )
    if item.is_forgotten:
        return without_content(outcome)
    return structs.replace(
        outcome,
        detail=verdict.detail,
        provider=verdict.provider,
        provider_id=verdict.provider_id,
        until_at_ms=verdict.until_at_ms,
    )


def parked_of(item: Item, verdict: Verdict) -> Parked:
    """The row of a delivery that waits, with what it has used up: attempts, retries, its place in the limits."""
    return Parked(delivery=_used(item, verdict), due_at_ms=verdict.until_at_ms, reason=verdict.reason)


def _used(item: Item, verdict: Verdict) -> Delivery:
    delivery = item.delivery
    was_charged = item.is_charged or item.attempt > delivery.attempt
    slot_at_ms = verdict.slot_at_ms or delivery.slot_at_ms or (verdict.at_ms if was_charged else 0)
    targets = carried(item.targets)
    is_in_doubt = item.may_have_been_sent or verdict.is_in_doubt
    return structs.replace(
        delivery,
        attempt=item.attempt,
        retries=delivery.retries + verdict.spends_retry,
        slot_at_ms=slot_at_ms,
        # Of devices only that counts which is open: what answered in the end is in doubt no more.
        is_in_doubt=any(one.is_in_doubt for one in targets) if targets else is_in_doubt,
        targets=targets,
    )
