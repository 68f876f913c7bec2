"""Counts of deliveries, kept in the transaction that appends outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from app.domain.outcome import Outcome
from app.domain.standing import Bucket, Standing, moves, standing
from app.domain.statistics import HOUR_MS
from infrastructure.sql.dialect import insert_or_add
from infrastructure.sql.schema import delivery_counts, outcomes

Key = tuple[str, str, int, int, str]
DeliveryKey = tuple[str, str]

_STORED = select(
    outcomes.c.notification_id,
    outcomes.c.delivery_id,
    outcomes.c.pass_no,
    outcomes.c.attempt,
    outcomes.c.status,
    outcomes.c.at_ms,
    outcomes.c.channel,
    outcomes.c.reason,
)


class Shared(NamedTuple):
    """What all deliveries of a notification are counted under."""

    accepted_at_ms: int
    event_type: str


def outcome_key(outcome: Outcome) -> Key:
    """What makes an outcome the same as one that is stored."""
    return (outcome.notification_id, outcome.delivery_id, outcome.pass_no, outcome.attempt, outcome.status)


def count(connection: Connection, portion: Sequence[Outcome], shared: Mapping[str, Shared]) -> None:
    """Move deliveries to where they stand with these outcomes, which are not stored yet.

    The caller holds the notifications' rows (`shared`) locked: what is found stored here stays so until the commit.
    Outcomes that are stored change nothing, so that a repetition counts nothing twice.
    """
    # The first of equals is the one that will be stored.
    new = {outcome_key(one): one for one in reversed(portion) if one.delivery_id}
    if not new:
        return
    before = _stand_before(connection, new)
    after = dict(before)
    for key, one in new.items():
        found = standing(one.pass_no, one.status, one.at_ms, one.channel, one.reason)
        known = after.get(key[:2])
        if known is None or found > known:
            after[key[:2]] = found
    changed = moves(
        (_bucket(was, shared[delivery[0]]) if was else None, _bucket(now, shared[delivery[0]]))
        for delivery, now in after.items()
        if now is not (was := before.get(delivery))
    )
    if changed:
        rows = [{**bucket._asdict(), "deliveries": by} for bucket, by in changed.items()]
        connection.execute(insert_or_add(connection, delivery_counts, "deliveries"), rows)


def _stand_before(connection: Connection, new: dict[Key, Outcome]) -> dict[DeliveryKey, Standing]:
    """Where the deliveries of these notifications stand by what is stored; what is stored is taken out of `new`."""
    found: dict[DeliveryKey, Standing] = {}
    ids = {key[0] for key in new}
    query = _STORED.where(outcomes.c.notification_id.in_(ids))
    for notification_id, delivery_id, pass_no, attempt, status, at_ms, channel, reason in connection.execute(query):
        new.pop((notification_id, delivery_id, pass_no, attempt, status), None)
        stored = standing(pass_no, status, at_ms, channel, reason)
        known = found.get((notification_id, delivery_id))
        if known is None or stored > known:
            found[notification_id, delivery_id] = stored
    return found


def _bucket(found: Standing, shared: Shared) -> Bucket:
    hour_ms = shared.accepted_at_ms - shared.accepted_at_ms % HOUR_MS
    return Bucket(hour_ms, found.channel, shared.event_type, found.status, found.reason)
