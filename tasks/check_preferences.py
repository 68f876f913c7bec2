"""Step 2: what the user wants: preferences, mute, quiet hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app.domain.batch import Batch, Item
from app.domain.delivery_rules import goes_without_store, unwanted
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import OpenReason
from app.domain.users import Preferences
from tasks.verdicts import leave_open

if TYPE_CHECKING:
    from tasks.context import StepContext

_log = structlog.get_logger()
_DEFAULTS = Preferences()


def check_preferences(batch: Batch, context: StepContext) -> Batch:
    """Suppress or park what its user does not want, or not now. One query for the batch."""
    items = [item for item in batch.undecided if not context.rule(item.delivery).critical]
    if not items:
        return batch
    try:
        stored = context.preferences.get_many(list({item.delivery.event.user_id for item in items}))
    except StoreUnavailableError:
        _log.warning("preferences_unavailable", queue=batch.head.queue, deliveries=len(items))
        if not goes_without_store(items[0].delivery.priority):
            leave_open(items, OpenReason.SQL_DOWN)  # an opt-out is never overrun
            return batch
        stored = {}
    now_ms = context.now_ms()
    for item in items:
        _apply(item, stored.get(item.delivery.event.user_id, _DEFAULTS), context, now_ms)
    return batch


def _apply(item: Item, preferences: Preferences, context: StepContext, now_ms: int) -> None:
    timezone = item.recipient.timezone if item.recipient else "UTC"
    item.verdict = unwanted(context.rule(item.delivery), item.delivery, preferences, timezone, now_ms)
