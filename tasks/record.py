"""Step 5: make everything durable, then say so: parked rows, outcomes, claims, and the finished record of the copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app.domain.batch import Batch, Finished, Item, Verdict
from app.domain.codec import encode
from app.domain.delivery_rules import goes_without_store
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import OpenReason, Reason, Status
from app.domain.ports import DeadDevice
from tasks.outcomes import ids, outcome_of, parked_of
from tasks.verdicts import leave_open, told

if TYPE_CHECKING:
    from tasks.context import StepContext

_log = structlog.get_logger()


def record(batch: Batch, context: StepContext) -> str:
    """Finish the copy; a short text about it. What did not become durable before not_after is reported open."""
    leave_open(batch.undecided, OpenReason.STEP_FAILED)
    for item, verdict in _decided(batch):
        item.verdict = told(item, verdict)
    _park(batch, context)
    _write_outcomes(batch, context)
    _remove_dead(batch, context)
    _settle_claims(batch, context)
    about = finished(batch)
    if not context.outcomes.finish(about, left_s(batch, context)):
        _log.warning("finished_not_acknowledged", queue=batch.head.queue, deliveries=len(batch.items))
    return f"{batch.head.queue} {len(batch.items)}, open {len(about.open)}"


def _decided(batch: Batch) -> list[tuple[Item, Verdict]]:
    """Items with an outcome that this copy has to record."""
    return [
        (item, item.verdict)
        for item in batch.items
        if item.verdict is not None and item.verdict.open is None and not item.verdict.is_recorded
    ]


def left_s(batch: Batch, context: StepContext) -> float:
    """Seconds until the copy's not_after."""
    return max(0.0, (batch.head.not_after_ms - context.now_ms()) / 1000)


def _park(batch: Batch, context: StepContext) -> None:
    waiting = [(item, verdict) for item, verdict in _decided(batch) if verdict.status is Status.PARKED]
    if not waiting:
        return
    if not left_s(batch, context):
        leave_open((item for item, _ in waiting), OpenReason.NO_TIME)
        return
    try:
        context.parked.park([parked_of(item, verdict) for item, verdict in waiting])
    except StoreUnavailableError:
        _log.warning("parking_failed", queue=batch.head.queue, deliveries=len(waiting))
        leave_open((item for item, _ in waiting), OpenReason.SQL_DOWN)


def _write_outcomes(batch: Batch, context: StepContext) -> None:
    decided = _decided(batch)
    for item, verdict in decided:
        outcome = outcome_of(item, verdict)
        try:
            if verdict.reason == Reason.POISON:  # first: an outcome alone would end it without its letter
                context.outcomes.dead_letter(outcome, encode(item.delivery))
            context.outcomes.put(outcome)
        except StoreUnavailableError:
            _log.warning("outcome_not_taken", **ids(item))
    keys = [(item.delivery.id, item.delivery.pass_no) for item, _ in decided]
    durable = context.outcomes.durable(keys, left_s(batch, context))
    lost = [item for (item, _), key in zip(decided, keys, strict=True) if key not in durable]
    leave_open(lost, OpenReason.KAFKA_DOWN)


def _remove_dead(batch: Batch, context: StepContext) -> None:
    """Devices that their push service knows no more. Recorded first; where SQL is away they are found dead again.

    High is not sent again for that: the next message to the device says the same.
    """
    dead = [(item, devices) for item, _ in _decided(batch) if (devices := _dead_devices(item))]
    if not dead:
        return
    try:
        context.devices.remove_dead([device for _, devices in dead for device in devices])
    except StoreUnavailableError:
        _log.warning("dead_devices_not_removed", queue=batch.head.queue, deliveries=len(dead))
        leave_open((item for item, _ in dead if not goes_without_store(item.delivery.priority)), OpenReason.SQL_DOWN)


def _dead_devices(item: Item) -> list[DeadDevice]:
    results = [target.result for target in item.targets if target.result is not None]
    user_id = item.delivery.event.user_id
    return [DeadDevice(user_id, one.id, one.at_ms) for one in results if one.reason == Reason.UNREGISTERED]


def _settle_claims(batch: Batch, context: StepContext) -> None:
    """Mark what is recorded, give back what is not; where Redis is away, the finished record has to do."""
    done = [(item.delivery.id, item.delivery.pass_no, str(verdict.status)) for item, verdict in _decided(batch)]
    still_open = [
        item.delivery.id
        for item in batch.items
        if item.verdict and item.verdict.open is not None and item.verdict.open is not OpenReason.BUSY
    ]
    try:
        context.claims.done(done, owner=batch.owner)
        context.claims.release(still_open, owner=batch.owner)
    except StoreUnavailableError:
        _log.warning("claims_unavailable", queue=batch.head.queue, deliveries=len(done) + len(still_open))


def finished(batch: Batch) -> Finished:
    """The record about the copy, by the verdicts there are."""
    head = batch.head
    reasons = [(item.offset, _open_reason(batch, item)) for item in batch.items]
    still_open = [(offset, str(reason)) for offset, reason in reasons if reason is not None]
    still_open += [(offset, str(OpenReason.LATER_PART)) for offset in head.others_open]
    return Finished(
        queue=head.queue,
        topic=head.topic,
        partition=head.partition,
        first=head.first,
        last=head.last,
        sent_at_ms=head.sent_at_ms,
        not_after_ms=head.not_after_ms,
        open=still_open,
        calls=batch.calls,
        took_ms=batch.deliver_ms,
    )


def _open_reason(batch: Batch, item: Item) -> OpenReason | None:
    """Why the item is open (None: it is not); a twin shares the fate of the one that runs."""
    verdict = batch.items[item.twin].verdict if item.twin >= 0 else item.verdict
    return verdict.open if verdict is not None else OpenReason.STEP_FAILED
