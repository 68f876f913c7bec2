"""Addresses that nothing is sent to: they bounced, complained, said STOP, or an operator has said so."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import structlog

from app.domain.delivery_rules import address_suppressed, goes_without_store
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import OpenReason
from app.domain.suppression import CHANNELS, Destination
from tasks.verdicts import leave_open

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from app.domain.batch import Item
    from app.domain.lane import Priority
    from tasks.context import StepContext

_log = structlog.get_logger()


def obey_suppressions(items: Sequence[Item], context: StepContext) -> None:
    """Suppress what would go there. One query for the batch; while SQL is away high goes by what was last known."""
    if not items or items[0].delivery.channel not in CHANNELS:
        return
    priority = items[0].delivery.priority
    places = {_destination(item) for item in items}
    found = _found(places, priority, context)
    if found is None:
        _log.warning("suppressions_unavailable", queue=items[0].delivery.lane.queue, deliveries=len(items))
        if not goes_without_store(priority):
            leave_open(items, OpenReason.SQL_DOWN)
            return
        found = _last_known(places, context)
    for item in items:
        item.verdict = address_suppressed(found.get(_destination(item), ""), context.now_ms())


def _found(
    places: Collection[Destination], priority: Priority, context: StepContext
) -> Mapping[Destination, str] | None:
    """What SQL says; None where it does not. What was found for high is kept for the time without it."""
    at_ms = context.now_ms()
    try:
        with context.asking_sql(priority):
            found = context.suppressions.find(places)
    except StoreUnavailableError:
        return None
    if found and goes_without_store(priority):
        with contextlib.suppress(StoreUnavailableError):
            context.known_suppressions.remember(found, at_ms)
    return found


def _last_known(places: Collection[Destination], context: StepContext) -> Mapping[Destination, str]:
    try:
        return context.known_suppressions.find(places)
    except StoreUnavailableError:
        return {}


def _destination(item: Item) -> Destination:
    return Destination(item.delivery.channel, item.address)
