"""Step 3: the user's limits. Lane limits were asked for by the dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app.domain.batch import Batch, Item, Verdict
from app.domain.errors import StoreUnavailableError
from app.domain.lane import Priority
from app.domain.outcome import OpenReason, Reason, Status
from app.domain.ports import Charged, UserCharge
from tasks.verdicts import final, leave_open

if TYPE_CHECKING:
    from tasks.context import StepContext

_log = structlog.get_logger()


def limit_rate(batch: Batch, context: StepContext) -> Batch:
    """Charge each delivery once; what is over a limit is parked until the slot it took, or refused."""
    items = [item for item in batch.undecided if not item.delivery.slot_at_ms]
    if not items:
        return batch
    wanted = [_charge(item, context) for item in items]
    try:
        limits = context.local_limits if items[0].is_unclaimed else context.user_limits
        charged = limits.charge(wanted, owner=batch.owner)
    except StoreUnavailableError:
        _log.warning("limits_unavailable", queue=batch.head.queue, deliveries=len(items))
        if items[0].delivery.priority is not Priority.HIGH:
            leave_open(items, OpenReason.CLAIMS_DOWN)
            return batch
        charged = context.local_limits.charge(wanted, owner=batch.owner)
    for item, answer in zip(items, charged, strict=True):
        _apply(item, answer, context)
    return batch


def _charge(item: Item, context: StepContext) -> UserCharge:
    delivery = item.delivery
    return UserCharge(
        delivery_id=delivery.id,
        user_id=delivery.event.user_id,
        channel=delivery.channel,
        expires_at_ms=delivery.expires_at_ms,
        may_park=context.rule(delivery).over_user_limit == "park",
    )


def _apply(item: Item, answer: Charged, context: StepContext) -> None:
    item.is_charged = not answer.is_refused
    if answer.is_refused:
        may_park = context.rule(item.delivery).over_user_limit == "park"
        status = Status.FAILED if may_park else Status.SUPPRESSED
        item.verdict = final(context, status, Reason.RATE_LIMITED_USER)
    elif answer.slot_at_ms:
        item.verdict = Verdict(
            status=Status.PARKED,
            reason=Reason.RATE_LIMITED_USER,
            at_ms=context.now_ms(),
            until_at_ms=answer.slot_at_ms,
            slot_at_ms=answer.slot_at_ms,
        )
