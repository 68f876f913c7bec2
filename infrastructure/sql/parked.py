"""Parked deliveries: rows that wait for their time, leased by one scheduler at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from msgspec import structs
from sqlalchemy import Connection, Engine, Row, delete, func, select, update

from app.domain.clock import now_ms as clock_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import UndecodableError
from app.domain.forgetting import is_forgotten
from app.domain.lane import Priority
from app.domain.parked_choice import ParkedChoice, ParkedRow
from infrastructure.sql.bulk import chunks
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.forgotten import SqlForgottenUsers
from infrastructure.sql.parked_choice import are, chosen, free, listed, listed_row
from infrastructure.sql.schema import parked

DueRow = Row[Any, Any, Any, Any, Any]

log = structlog.get_logger(__name__)

_DUE = select(parked.c.delivery_id, parked.c.pass_no, parked.c.due_at_ms, parked.c.reason, parked.c.body)


class SqlParked:
    """The port `ParkedStore`. A lease is an owner and a time: it ends by itself, and another may take the row."""

    def __init__(self, engine: Engine, forgotten: SqlForgottenUsers | None = None) -> None:
        self._engine = engine
        self._forgotten = forgotten

    @repeated
    def park(self, rows: Sequence[Parked]) -> None:
        """Insert the rows that are not there yet, in one transaction. Returning means committed.

        Rows of a forgotten user are due at once, so that what is in them does not stay.
        """
        if not rows:
            return
        rows = sorted(rows, key=lambda row: (row.delivery.id, row.delivery.pass_no))
        with writing(self._engine) as connection:
            if self._forgotten is not None:
                rows = _hurried(rows, self._forgotten.within(connection, {row.delivery.event.user_id for row in rows}))
            for portion in chunks(map(_values, rows)):
                connection.execute(insert_new(connection, parked), portion)

    @repeated
    def lease_due(self, *, now_ms: int, lease_until_ms: int, owner: str, limit: int) -> list[Parked]:
        """Take up to `limit` due rows that nobody holds, high first, then by due time.

        A row that cannot be decoded is leased, logged and left out.
        """
        with reading(self._engine) as connection:
            if not _due(connection, now_ms, limit=1):  # most looks find nothing, and must not hold writers up
                return []
        with writing(self._engine) as connection:
            rows = _due(connection, now_ms, limit)
            _take(connection, rows, owner, lease_until_ms)
        return _decoded(rows)

    @repeated
    def lease_of(self, delivery_ids: Sequence[str], *, now_ms: int, lease_until_ms: int, owner: str) -> list[Parked]:
        """Take these deliveries' rows that nobody holds, whenever they are due.

        A row that cannot be decoded is leased, logged and left out.
        """
        theirs = _DUE.where(parked.c.delivery_id.in_(delivery_ids), parked.c.lease_until_ms <= now_ms)
        with reading(self._engine) as connection:
            if not connection.execute(theirs.limit(1)).all():
                return []
        with writing(self._engine) as connection:
            rows = connection.execute(theirs.with_for_update(skip_locked=True)).all()
            _take(connection, rows, owner, lease_until_ms)
        return _decoded(rows)

    @repeated
    def lease_of_user(self, user_id: str, *, now_ms: int, lease_until_ms: int, owner: str, limit: int) -> list[Parked]:
        """Take up to `limit` rows of this user that nobody holds, due or not; undecodable ones as in `lease_due`."""
        query = _DUE.where(parked.c.user_id == user_id, parked.c.lease_until_ms <= now_ms).limit(limit)
        with writing(self._engine) as connection:
            rows = connection.execute(query.with_for_update(skip_locked=True)).all()
            _take(connection, rows, owner, lease_until_ms)
        return _decoded(rows)

    @repeated
    def remove(self, keys: Sequence[tuple[str, int]], owner: str) -> None:
        """Delete rows (delivery id, pass) this owner still holds."""
        if not keys:
            return
        with writing(self._engine) as connection:
            for portion in chunks(keys):
                connection.execute(delete(parked).where(are(portion), parked.c.owner == owner))

    def counts(self, choice: ParkedChoice = ParkedChoice()) -> Mapping[str, Mapping[str, int]]:  # noqa: B008 - frozen
        """How many are parked: queue -> reason -> rows."""
        query = select(parked.c.queue, parked.c.reason, func.count()).group_by(parked.c.queue, parked.c.reason)
        query = query.where(chosen(choice))
        by_queue: dict[str, dict[str, int]] = {}
        with reading(self._engine) as connection:
            for queue, reason, rows in connection.execute(query):
                by_queue.setdefault(queue, {})[reason] = rows
        return by_queue

    def choose(self, choice: ParkedChoice, *, now_ms: int, limit: int) -> list[ParkedRow]:
        """See `app.domain.ports.ParkedStore`."""
        with reading(self._engine) as connection:
            rows = connection.execute(listed(choice, limit)).all()
        return [listed_row(row, delivery, now_ms) for row in rows if (delivery := _delivery(row)) is not None]

    @repeated
    def make_due(self, choice: ParkedChoice, *, now_ms: int, limit: int) -> int:
        """See `app.domain.ports.ParkedStore`."""
        with writing(self._engine) as connection:
            rows = connection.execute(free(choice, now_ms, limit).where(parked.c.due_at_ms > now_ms)).all()
            for portion in chunks(rows):
                keys = [(row.delivery_id, row.pass_no) for row in portion]
                connection.execute(update(parked).where(are(keys)).values(due_at_ms=now_ms))
        return len(rows)

    @repeated
    def lease_chosen(
        self, choice: ParkedChoice, *, now_ms: int, lease_until_ms: int, owner: str, limit: int
    ) -> list[Parked]:
        """See `app.domain.ports.ParkedStore`."""
        with writing(self._engine) as connection:
            rows = connection.execute(free(choice, now_ms, limit)).all()
            _take(connection, rows, owner, lease_until_ms)
        return _decoded(rows)

    @repeated
    def hasten(self, keys: Sequence[tuple[str, int]], owner: str, due_at_ms: int) -> None:
        """See `app.domain.ports.ParkedStore`."""
        with writing(self._engine) as connection:
            for portion in chunks(keys):
                held = update(parked).where(are(portion), parked.c.owner == owner)
                connection.execute(held.values(due_at_ms=due_at_ms))

    def passes(self, delivery_ids: Sequence[str]) -> Mapping[str, int]:
        """See `app.domain.ports.ParkedStore`."""
        found: dict[str, int] = {}
        with reading(self._engine) as connection:
            for portion in chunks(delivery_ids):
                query = select(parked.c.delivery_id, func.max(parked.c.pass_no).label("highest")).group_by(
                    parked.c.delivery_id
                )
                rows = connection.execute(query.where(parked.c.delivery_id.in_(portion)))
                found |= {row.delivery_id: row.highest for row in rows}
        return found


def _due(connection: Connection, now_ms: int, limit: int) -> list[DueRow]:
    """Due rows that nobody holds: one look into the index for each priority, so that rows not due are never read."""
    found: list[DueRow] = []
    for priority in Priority:
        query = (
            _DUE.where(parked.c.priority_rank == priority.rank, parked.c.due_at_ms <= now_ms)
            .where(parked.c.lease_until_ms <= now_ms)
            .order_by(parked.c.due_at_ms)
            .limit(limit - len(found))
            .with_for_update(skip_locked=True)
        )
        found += connection.execute(query).all()
        if len(found) == limit:
            break
    return found


def _hurried(rows: Sequence[Parked], forgotten_at: Mapping[str, int]) -> Sequence[Parked]:
    """Rows of events from before their user was forgotten are due at once: the scheduler cancels them."""
    if not forgotten_at:
        return rows
    return [
        structs.replace(row, due_at_ms=0)
        if is_forgotten(row.delivery.event.user_id, row.delivery.accepted_at_ms, forgotten_at)
        else row
        for row in rows
    ]


def _values(row: Parked) -> dict[str, Any]:
    delivery = row.delivery
    return {
        "delivery_id": delivery.id,
        "pass_no": delivery.pass_no,
        "queue": delivery.lane.queue,
        "priority_rank": delivery.priority.rank,
        "reason": row.reason,
        "due_at_ms": row.due_at_ms,
        "body": encode(delivery),
        "parked_at_ms": clock_ms(),
        "user_id": delivery.event.user_id,
    }


def _decoded(rows: Sequence[DueRow]) -> list[Parked]:
    """Those that can be; outside the transaction, which holds others up."""
    return [row for row in map(_parked, rows) if row is not None]


def _parked(row: Any) -> Parked | None:
    delivery = _delivery(row)
    return None if delivery is None else Parked(delivery=delivery, due_at_ms=row.due_at_ms, reason=row.reason)


def _delivery(row: Any) -> Delivery | None:
    try:
        return decode(row.body, Delivery)
    except UndecodableError:
        log.exception("parked_row_undecodable", row_id=row.delivery_id, pass_no=row.pass_no)
        return None


def _take(connection: Connection, rows: Sequence[DueRow], owner: str, lease_until_ms: int) -> None:
    for portion in chunks(rows):
        keys = [(row.delivery_id, row.pass_no) for row in portion]
        connection.execute(update(parked).where(are(keys)).values(owner=owner, lease_until_ms=lease_until_ms))
