"""Step 2: what the user wants: preferences, mute, quiet hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from app.domain.batch import Batch, Item
from app.domain.delivery_rules import goes_without_store, preferences_without_store, unwanted
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import OpenReason
from app.domain.ports import KnownUser, StoredPreferences
from app.domain.users import Preferences
from tasks.verdicts import leave_open

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.context import StepContext

_log = structlog.get_logger()
_NONE_STORED = StoredPreferences(Preferences(), 0)


def check_preferences(batch: Batch, context: StepContext) -> Batch:
    """Suppress or park what its user does not want, or not now. One query for the batch."""
    everyone = batch.undecided
    items = [item for item in everyone if not context.rule(item.delivery).critical]
    stored = _stored(items, context)
    _remember(everyone, stored or {}, context)
    now_ms = context.now_ms()
    if stored is None:
        _by_last_known(items, context, now_ms)
        return batch
    for item in items:
        _apply(item, stored[item.delivery.event.user_id].preferences, context, now_ms)
    return batch


def _stored(items: Sequence[Item], context: StepContext) -> Mapping[str, StoredPreferences] | None:
    """The preferences of each user; None where SQL does not say."""
    if not items:
        return {}
    user_ids = list({item.delivery.event.user_id for item in items})
    try:
        with context.asking_sql(items[0].delivery.priority):
            found = context.preferences.stored(user_ids)
    except StoreUnavailableError:
        _log.warning("preferences_unavailable", queue=items[0].delivery.lane.queue, deliveries=len(items))
        return None
    return {user_id: found.get(user_id, _NONE_STORED) for user_id in user_ids}


def _by_last_known(items: Sequence[Item], context: StepContext, now_ms: int) -> None:
    """High goes by what is known; the others wait, so that an opt-out is never overrun."""
    user_ids = list({item.delivery.event.user_id for item in items if goes_without_store(item.delivery.priority)})
    found = context.last_known.find(user_ids)
    for item in items:
        known = found.get(item.delivery.event.user_id)
        preferences = preferences_without_store(item.delivery.priority, known)
        if preferences is None:
            leave_open([item], OpenReason.SQL_DOWN)
        else:
            _apply(item, preferences, context, now_ms)


def _remember(items: Sequence[Item], stored: Mapping[str, StoredPreferences], context: StepContext) -> None:
    """What was read from SQL for high is kept for the time without it."""
    users: dict[str, KnownUser] = {}
    for item in items:
        recipient, user_id = item.recipient, item.delivery.event.user_id
        if goes_without_store(item.delivery.priority) and recipient is not None and recipient.version is not None:
            users[user_id] = KnownUser(user_id=user_id, recipient=recipient, preferences=stored.get(user_id))
    context.last_known.remember(list(users.values()))


def _apply(item: Item, preferences: Preferences, context: StepContext, now_ms: int) -> None:
    timezone = item.recipient.timezone if item.recipient else "UTC"
    item.verdict = unwanted(context.rule(item.delivery), item.delivery, preferences, timezone, now_ms)
