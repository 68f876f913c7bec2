"""Step 1: claim the deliveries, drop what is late, find out whom they go to and whether they can."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import structlog

from app.domain.batch import Batch, Item, Verdict
from app.domain.channel import CHANNEL_BY_NAME
from app.domain.delivery_rules import (
    address_of,
    checked_address,
    expired,
    goes_without_store,
    goes_without_users,
    in_charge,
    not_configured,
    scheduled,
)
from app.domain.errors import NotifyError, StoreUnavailableError
from app.domain.forgetting import is_forgotten
from app.domain.outcome import OpenReason, Reason, Status
from app.domain.users import Recipient
from tasks.device_targets import aim, restore
from tasks.suppressed import obey_suppressions
from tasks.verdicts import final, leave_open, noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.ports import Provider, Taken
    from tasks.context import StepContext

_log = structlog.get_logger()

#: Deaths of a delivery, alone in its copy, after which it is failed.
_POISON_CRASHES = 3


class StaleCopyError(NotifyError):
    """The copy was read after its not_after: the dispatcher has sent, or will send, another."""


def validate(batch: Batch, context: StepContext) -> Batch:
    """Claim, then decide what needs no provider: cancelled, poisoned, expired, too early, without address or channel.

    Raises StaleCopyError for a copy read too late; nothing was touched then.
    """
    if context.now_ms() >= batch.head.not_after_ms:
        raise StaleCopyError
    batch.owner = uuid.uuid4().hex
    _mark_twins(batch)
    if not context.outcomes.has_room():
        leave_open(batch.undecided, OpenReason.KAFKA_DOWN)
        return batch
    _claim(batch, context)
    _expire(batch, context)
    _schedule(batch, context)
    _address(batch, context)
    return batch


def _mark_twins(batch: Batch) -> None:
    """A delivery that is more than once in a batch runs once, in its highest pass: lower ones have been parked."""
    runs: dict[str, int] = {}
    for index, item in enumerate(batch.items):
        known = runs.setdefault(item.delivery.id, index)
        if item.delivery.pass_no > batch.items[known].delivery.pass_no:
            runs[item.delivery.id] = index
    for index, item in enumerate(batch.items):
        if runs[item.delivery.id] != index:
            item.twin = runs[item.delivery.id]
            item.verdict = Verdict(is_recorded=True)


def _claim(batch: Batch, context: StepContext) -> None:
    items = batch.undecided
    wanted = [item.delivery.claimable for item in items]
    head = batch.head
    try:
        found = context.claims.take(wanted, owner=batch.owner, until_ms=head.not_after_ms, alone=head.alone)
        if items and CHANNEL_BY_NAME[items[0].delivery.channel].has_devices:
            restore(items, context)
    except StoreUnavailableError:
        _log.warning("claims_unavailable", queue=head.queue, deliveries=len(items))
        if items and not goes_without_store(items[0].delivery.priority):
            leave_open(items, OpenReason.CLAIMS_DOWN)
        for item in items:
            item.is_unclaimed = True
        return
    for item, taken in zip(items, found, strict=True):
        _obey(item, taken, context)


def _obey(item: Item, taken: Taken, context: StepContext) -> None:
    item.attempt = item.delivery.attempt
    if taken.state == "finished":
        item.verdict = Verdict(is_recorded=True)
    elif taken.state == "busy":
        leave_open([item], OpenReason.BUSY)
    elif taken.state == "answered":
        item.verdict = noted(taken.answer, context)
        item.attempt += item.verdict.status is not Status.CANCELLED
    elif taken.crashes >= _POISON_CRASHES:
        item.verdict = final(context, Status.FAILED, Reason.POISON, f"a worker died {taken.crashes} times on it")
    elif taken.state == "in_doubt":
        item.attempt += 1
        item.is_in_doubt = True
        # What a bulk channel stores is stored under the delivery's id: once, however often.
        # Of several devices each has its own doubt (`restore`).
        spec = CHANNEL_BY_NAME[item.delivery.channel]
        if context.rule(item.delivery).in_doubt == "unknown" and not spec.is_bulk and not spec.has_devices:
            item.verdict = final(context, Status.UNKNOWN, Reason.IN_DOUBT, "a worker died during the call")


def _expire(batch: Batch, context: StepContext) -> None:
    now_ms = context.now_ms()
    for item in batch.undecided:
        item.verdict = expired(item.delivery, now_ms)


def _schedule(batch: Batch, context: StepContext) -> None:
    now_ms = context.now_ms()
    for item in batch.undecided:
        item.verdict = scheduled(item.delivery, now_ms)


def _address(batch: Batch, context: StepContext) -> None:
    items = batch.undecided
    if not items:
        return
    channel = items[0].delivery.channel
    providers, simulator = context.channels.providers(channel), context.channels.simulator(channel)
    if not providers and simulator is None:
        _end(items, context)
        return
    spec = context.channels.spec(channel)
    contact = spec.contact
    found = _found(items, contact, context)
    if spec.has_devices:
        aim(found, providers, simulator, context)
    else:
        for item, recipient in found:
            item.recipient = recipient
            address = address_of(item.delivery.event, contact, recipient)
            _check(item, address, in_charge(channel, address, providers, simulator), context)
        obey_suppressions(batch.undecided, context)
    if not providers:
        # But for test addresses nothing could go out, so that nothing waits until SQL can tell of them.
        _end([item for item in items if item.verdict is not None and item.verdict.open is OpenReason.SQL_DOWN], context)


def _end(items: Sequence[Item], context: StepContext) -> None:
    """The channel has no provider for these."""
    for item in items:
        item.verdict = not_configured(context.now_ms())


def _found(items: list[Item], contact: str | None, context: StepContext) -> list[tuple[Item, Recipient]]:
    """Those that go on, with their users: from SQL, or as they were last known."""
    user_ids = list({item.delivery.event.user_id for item in items})
    try:
        with context.asking_sql(items[0].delivery.priority):
            items = _cancel(items, context.forgotten.forgotten_at(user_ids), context)
            known = context.users.recipients(user_ids)
    except StoreUnavailableError:
        _log.warning("users_unavailable", queue=items[0].delivery.lane.queue, deliveries=len(items))
        return _last_known(items, contact, context)
    user_of = {user_id: known.get(user_id) or Recipient(user_id=user_id, version=0) for user_id in user_ids}
    return [(item, user_of[item.delivery.event.user_id]) for item in items]


def _cancel(items: list[Item], forgotten_at: Mapping[str, int], context: StepContext) -> list[Item]:
    """Those whose user was not forgotten after the event was accepted; the others are not sent any more."""
    going = []
    for item in items:
        if not is_forgotten(item.delivery.event.user_id, item.delivery.accepted_at_ms, forgotten_at):
            going.append(item)
        else:
            item.is_forgotten = True
            item.verdict = final(context, Status.CANCELLED, Reason.USER_FORGOTTEN)
    return going


def _last_known(items: list[Item], contact: str | None, context: StepContext) -> list[tuple[Item, Recipient]]:
    """Those of high whose address is in the event, or known from before; all others wait until SQL is back."""
    going = []
    user_ids = list({item.delivery.event.user_id for item in items if goes_without_store(item.delivery.priority)})
    found = context.last_known.find(user_ids)
    for item in items:
        user_id = item.delivery.event.user_id
        known = found.get(user_id)
        if goes_without_users(item.delivery, contact, known):
            going.append((item, (known.recipient if known else None) or Recipient(user_id=user_id)))
        else:
            leave_open([item], OpenReason.SQL_DOWN)
    return going


def _check(item: Item, address: str | None, takers: Sequence[Provider], context: StepContext) -> None:
    now_ms = context.now_ms()
    checked = checked_address(address, takers[0], now_ms) if takers else not_configured(now_ms)
    if isinstance(checked, Verdict):
        item.verdict = checked
    else:
        item.address = checked
