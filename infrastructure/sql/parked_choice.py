"""Statements about the parked rows that an operator chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, select, true, tuple_

from app.domain.delivery import Delivery
from app.domain.parked_choice import ParkedChoice, ParkedRow
from infrastructure.sql.schema import parked

Key = tuple[str, int]

LISTED = (
    parked.c.due_at_ms,
    parked.c.reason,
    parked.c.parked_at_ms,
    parked.c.lease_until_ms,
    parked.c.body,
    parked.c.delivery_id,
    parked.c.pass_no,
)
_ORDER = (parked.c.priority_rank, parked.c.due_at_ms)


def chosen(choice: ParkedChoice) -> ColumnElement[bool]:
    """The rows of the choice."""
    conditions: list[ColumnElement[bool]] = [true()]
    if choice.queue:
        conditions.append(parked.c.queue == choice.queue)
    if choice.reason:
        conditions.append(parked.c.reason == choice.reason)
    if choice.due_before_ms is not None:
        conditions.append(parked.c.due_at_ms < choice.due_before_ms)
    if choice.parked_from_ms is not None:
        conditions.append(parked.c.parked_at_ms >= choice.parked_from_ms)
    if choice.parked_until_ms is not None:
        conditions.append(parked.c.parked_at_ms < choice.parked_until_ms)
    return and_(*conditions)


def free(choice: ParkedChoice, now_ms: int, limit: int) -> Select[Any]:
    """Rows of the choice that nobody holds, high first, then by due time; to be locked by whoever reads them."""
    query = select(*LISTED).where(chosen(choice), parked.c.lease_until_ms <= now_ms)
    return query.order_by(*_ORDER).limit(limit).with_for_update(skip_locked=True)


def listed(choice: ParkedChoice, limit: int) -> Select[Any]:
    """Rows of the choice, high first, then by due time."""
    return select(*LISTED).where(chosen(choice)).order_by(*_ORDER).limit(limit)


def are(keys: Sequence[Key]) -> ColumnElement[bool]:
    """The rows of these keys. The ids alone are named as well: by pairs SQLite would not look into the index."""
    ids = parked.c.delivery_id.in_([delivery_id for delivery_id, _ in keys])
    return and_(ids, tuple_(parked.c.delivery_id, parked.c.pass_no).in_(keys))


def listed_row(row: Row[Any], delivery: Delivery, now_ms: int) -> ParkedRow:
    """The row as it is listed."""
    return ParkedRow(
        delivery=delivery,
        due_at_ms=row.due_at_ms,
        reason=row.reason,
        parked_at_ms=row.parked_at_ms,
        is_leased=row.lease_until_ms > now_ms,
    )
