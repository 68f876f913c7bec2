"""Step 3: the user's limits. Lane limits were asked for by the dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app.domain.batch import Batch, Item
from app.domain.delivery_rules import charge_of, goes_without_store, over_user_limit
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import OpenReason
from app.domain.ports import Charged
from tasks.verdicts import leave_open

if TYPE_CHECKING:
    from tasks.context import StepContext

_log = structlog.get_logger()


def limit_rate(batch: Batch, context: StepContext) -> Batch:
    """Charge each delivery once; what is over a limit is parked until the slot it took, or refused."""
    items = [item for item in batch.undecided if not item.delivery.slot_at_ms]
    if not items:
        return batch
    wanted = [charge_of(context.rule(item.delivery), item.delivery) for item in items]
    try:
        limits = context.local_limits if items[0].is_unclaimed else context.user_limits
        charged = limits.charge(wanted, owner=batch.owner)
    except StoreUnavailableError:
        _log.warning("limits_unavailable", queue=batch.head.queue, deliveries=len(items))
        if not goes_without_store(items[0].delivery.priority):
            leave_open(items, OpenReason.CLAIMS_DOWN)
            return batch
        charged = context.local_limits.charge(wanted, owner=batch.owner)
    for item, answer in zip(items, charged, strict=True):
        _apply(item, answer, context)
    return batch


def _apply(item: Item, answer: Charged, context: StepContext) -> None:
    item.is_charged = not answer.is_refused
    item.verdict = over_user_limit(context.rule(item.delivery), answer, context.now_ms())
