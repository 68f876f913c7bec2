"""Whom a delivery to devices goes to: the user's devices, less those that have their answer already."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import structlog

from app.domain.codec import decode
from app.domain.delivery_rules import in_charge, no_address, not_configured
from app.domain.device_rules import platform_of
from app.domain.errors import PermanentError, StoreUnavailableError
from app.domain.outcome import OpenReason, Reason, Status
from app.domain.target import ADDRESS, Target, TargetResult
from app.domain.target_rules import merged
from tasks.verdicts import leave_open

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.batch import Item
    from app.domain.device import Device
    from app.domain.ports import Mark, Provider
    from app.domain.users import Recipient
    from tasks.context import StepContext

_log = structlog.get_logger()

#: A channel's providers, and what answers its test addresses.
Takers: TypeAlias = "tuple[Sequence[Provider], Provider | None]"


def restore(items: Sequence[Item], context: StepContext) -> None:
    """Tell of each claimed delivery's targets what earlier passes, and copies that died, have heard of them.

    Raises StoreUnavailableError.
    """
    found = context.marks.find([item.delivery.id for item in items])
    for item, marks in zip(items, found, strict=True):
        _restore(item, marks, context)


def aim(
    found: Sequence[tuple[Item, Recipient]],
    providers: Sequence[Provider],
    simulator: Provider | None,
    context: StepContext,
) -> None:
    """Find the devices; decide what needs no call: none there, none left to call, no provider for one."""
    for item, recipient in found:
        item.recipient = recipient
    items = [item for item, _ in found]
    devices = _devices([item for item in items if not _given(item)], context)
    for item, recipient in found:
        if item.verdict is None:
            _aim(item, _candidates(item, recipient, devices), (providers, simulator), context)


def _devices(items: Sequence[Item], context: StepContext) -> Mapping[str, list[Device]]:
    """By user. Where SQL is away their deliveries wait: a copy of some devices would be none of all."""
    if not items:
        return {}
    try:
        with context.asking_sql(items[0].delivery.priority):
            return context.devices.of_users(list({item.delivery.event.user_id for item in items}))
    except StoreUnavailableError:
        _log.warning("devices_unavailable", queue=items[0].delivery.lane.queue, deliveries=len(items))
        leave_open(items, OpenReason.SQL_DOWN)
        return {}


def _given(item: Item) -> str | None:
    """The address that came with the event: it stands before the user's own."""
    to = item.delivery.event.options.to
    return to.push if to is not None else None


def _candidates(item: Item, recipient: Recipient, devices: Mapping[str, list[Device]]) -> list[Target]:
    theirs = [] if _given(item) else devices.get(item.delivery.event.user_id, [])
    if theirs:
        return [Target(id=one.id, token=one.token, platform=one.platform) for one in theirs]
    address = _given(item) or recipient.contacts.push
    return [Target(id=ADDRESS, token=address, platform=platform_of(address))] if address else []


def _aim(item: Item, candidates: Sequence[Target], takers: Takers, context: StepContext) -> None:
    """A pass after the first goes to the devices that the first one left open, and to no new ones."""
    channel, (providers, simulator) = item.delivery.channel, takers
    if not providers and not any(in_charge(channel, target.token, (), simulator) for target in candidates):
        item.verdict = not_configured(context.now_ms())
        return
    by_id = {target.id: target for target in item.targets}
    for one in candidates:
        known = by_id.get(one.id)
        if known is not None:
            known.token, known.platform = one.token, one.platform
        elif not item.delivery.targets:
            by_id[one.id] = one
    item.targets = list(by_id.values())
    for target in item.targets:
        if target.result is None:
            asked = in_charge(channel, target.token, providers, simulator)
            target.result = _without_call(target, asked, context.now_ms())
    if not item.targets:
        item.verdict = no_address(context.now_ms())
    elif all(target.result is not None for target in item.targets):
        item.verdict = merged(item.targets, context.now_ms())


def _without_call(target: Target, providers: Sequence[Provider], now_ms: int) -> TargetResult | None:
    """What is known of a target before it is called; None: it is to be called."""
    reason, detail = "", ""
    reached_by = [provider for provider in providers if target.platform in provider.terms.platforms]
    if not target.token:
        reason, detail = Reason.UNREGISTERED, "it is the user's no more"
    elif not reached_by:
        reason, detail = Reason.CHANNEL_NOT_CONFIGURED, f"no provider for {target.platform}"
    else:
        try:
            target.token = reached_by[0].check_address(target.token)
        except PermanentError as error:
            reason, detail = error.reason, error.detail
    if not reason:
        return None
    if target.is_in_doubt:
        return TargetResult(id=target.id, status=Status.UNKNOWN, reason=Reason.IN_DOUBT, detail=detail, at_ms=now_ms)
    return TargetResult(id=target.id, status=Status.FAILED, reason=reason, detail=detail, at_ms=now_ms)


def _restore(item: Item, marks: Sequence[Mark], context: StepContext) -> None:
    delivery = item.delivery
    by_id = {one.id: _carried(one) for one in delivery.targets}
    for mark in marks:
        target = by_id.setdefault(mark.target_id, Target(id=mark.target_id))
        if not mark.result:
            target.is_in_doubt, target.result = True, None
            continue
        result = decode(mark.result, TargetResult)
        target.is_in_doubt = result.is_in_doubt
        # What a target said for good, it said for all passes; to be called again is the next pass's work.
        target.result = result if result.status.is_final or mark.pass_no == delivery.pass_no else None
    is_told = context.rule(delivery).in_doubt == "unknown"
    for target in by_id.values():
        if target.is_in_doubt and target.result is None and is_told:
            target.result = TargetResult(
                id=target.id,
                status=Status.UNKNOWN,
                reason=Reason.IN_DOUBT,
                detail="a worker died during the call",
                at_ms=context.now_ms(),
            )
    item.targets = list(by_id.values())
    item.attempt = delivery.attempt + sum(mark.pass_no == delivery.pass_no for mark in marks)
    item.is_in_doubt = any(target.is_in_doubt and target.result is None for target in item.targets)


def _carried(result: TargetResult) -> Target:
    """As the pass before left it."""
    return Target(id=result.id, result=result if result.status.is_final else None, is_in_doubt=result.is_in_doubt)
