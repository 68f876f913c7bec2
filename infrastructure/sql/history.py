"""The history on SQL: one row a notification, one an outcome, only ever appended, and counts of deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, bindparam, select, update

from app.domain.codec import decode, encode
from app.domain.cursor import position
from app.domain.forgetting import is_forgotten, without_content
from app.domain.lane import Priority
from app.domain.outcome import Outcome, Status
from app.domain.ports import NotificationRecord, Page, Standing
from infrastructure.sql.bulk import chunks
from infrastructure.sql.delivery_counts import Shared, count, outcome_key
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.fitting import cut, lengths
from infrastructure.sql.forgotten import SqlForgottenUsers
from infrastructure.sql.keyset import newest
from infrastructure.sql.schema import notifications
from infrastructure.sql.schema import outcomes as outcome_table

_OUTCOME_COLUMNS = tuple(column.name for column in outcome_table.columns)
_LENGTHS = lengths(outcome_table)
_ORDER = (notifications.c.accepted_at_ms, notifications.c.id)
_STORED = (
    select(
        notifications.c.id,
        notifications.c.accepted_at_ms,
        notifications.c.event_type,
        notifications.c.event.is_(None),
    )
    .order_by(notifications.c.id)
    .with_for_update()
)
_FILL_EVENT = (
    update(notifications)
    # The user's id is there no more where they were forgotten: then it is another event that came to the same id.
    .where(notifications.c.id == bindparam("of_id"), notifications.c.user_id == bindparam("of_user"))
    .where(notifications.c.event.is_(None))
    .values(event=bindparam("new_event"))
)


class SqlHistory:
    """The port `History`. What the outcomes of a notification share is in its own row."""

    def __init__(self, engine: Engine, forgotten: SqlForgottenUsers | None = None) -> None:
        self._engine = engine
        self._forgotten = forgotten

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Store the outcomes, each portion in a transaction of its own; repeating is harmless.

        What is about an event from before its user was forgotten is stored without content.
        """
        for portion in chunks(sorted(outcomes, key=outcome_key)):
            self._append(portion)

    @repeated
    def _append(self, portion: list[Outcome]) -> None:
        with writing(self._engine) as connection:
            if self._forgotten is not None:
                users = {one.user_id for one in portion if one.user_id}
                portion = _stripped(portion, self._forgotten.within(connection, users))
            count(connection, portion, _add_notifications(connection, portion))
            connection.execute(insert_new(connection, outcome_table), [_outcome_values(one) for one in portion])

    def notification(self, notification_id: str) -> NotificationRecord | None:
        """One notification with all its outcomes, oldest first, or None."""
        query = select(notifications).where(notifications.c.id == notification_id)
        with reading(self._engine) as connection:
            return next(iter(_records(connection, connection.execute(query).mappings().all())), None)

    def standings(self, notification_ids: Sequence[str]) -> list[Standing]:
        """Every outcome of these notifications, as short as it can be told."""
        columns = [outcome_table.c[name] for name in Standing.__struct_fields__]
        found: list[Standing] = []
        with reading(self._engine) as connection:
            for portion in chunks(notification_ids):
                query = select(*columns).where(outcome_table.c.notification_id.in_(portion))
                rows = connection.execute(query).mappings()
                found += [Standing(**(dict(row) | {"status": Status(row["status"])})) for row in rows]
        return found

    def by_user(self, user_id: str, *, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of `NotificationRecord`, newest first. Raises ValueError for a cursor that is none of ours."""
        start = position(cursor)
        query = select(notifications).where(notifications.c.user_id == user_id)
        with reading(self._engine) as connection:
            rows, following = newest(connection, query, _ORDER, start, limit)
            return Page(items=_records(connection, rows), cursor=following)


def _stripped(portion: list[Outcome], forgotten_at: Mapping[str, int]) -> list[Outcome]:
    if not forgotten_at:
        return portion
    return [
        without_content(one) if is_forgotten(one.user_id, one.accepted_at_ms or one.at_ms, forgotten_at) else one
        for one in portion
    ]


def _add_notifications(connection: Connection, batch: Iterable[Outcome]) -> dict[str, Shared]:
    """Add the rows that are not there; where an earlier outcome came without the event, add that.

    Gives what is stored of them, and locks them: another tracker that has outcomes of the same waits.
    """
    first: dict[str, Outcome] = {}
    for outcome in batch:
        known = first.setdefault(outcome.notification_id, outcome)
        if known.event is None and outcome.event is not None:
            first[outcome.notification_id] = outcome
    rows = [_notification_values(outcome) for outcome in first.values()]
    connection.execute(insert_new(connection, notifications), rows)

    stored = connection.execute(_STORED.where(notifications.c.id.in_(first))).all()
    events = {row["id"]: row for row in rows if row["event"] is not None}
    fills = [_fill(events[found]) for found, _, _, lacks in stored if lacks and found in events]
    if fills:
        connection.execute(_FILL_EVENT, fills)
    return {found: Shared(accepted_at_ms, event_type) for found, accepted_at_ms, event_type, _ in stored}


def _fill(row: dict[str, Any]) -> dict[str, Any]:
    return {"of_id": row["id"], "of_user": row["user_id"], "new_event": row["event"]}


def _records(connection: Connection, rows: Sequence[RowMapping]) -> list[NotificationRecord]:
    if not rows:
        return []
    query = (
        select(outcome_table)
        .where(outcome_table.c.notification_id.in_([row["id"] for row in rows]))
        .order_by(outcome_table.c.at_ms, outcome_table.c.pass_no, outcome_table.c.attempt, outcome_table.c.delivery_id)
    )
    found: dict[str, list[RowMapping]] = {row["id"]: [] for row in rows}
    for outcome in connection.execute(query).mappings():
        found[outcome["notification_id"]].append(outcome)
    return [_record(row, found[row["id"]]) for row in rows]


def _record(row: RowMapping, found: Iterable[RowMapping]) -> NotificationRecord:
    shared = {name: row[name] for name in ("user_id", "event_type", "accepted_at_ms")}
    return NotificationRecord(
        id=row["id"],
        event=None if row["event"] is None else decode(row["event"], dict[str, Any]),
        outcomes=[_outcome(outcome, shared) for outcome in found],
        **shared,
    )


def _outcome(row: RowMapping, shared: dict[str, Any]) -> Outcome:
    values = dict(row) | {"status": Status(row["status"]), "priority": Priority(row["priority"])}
    return Outcome(**values, **shared)


def _outcome_values(outcome: Outcome) -> dict[str, Any]:
    return cut({name: getattr(outcome, name) for name in _OUTCOME_COLUMNS}, _LENGTHS)


def _notification_values(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.notification_id,
        "user_id": outcome.user_id,
        "event_type": outcome.event_type,
        "accepted_at_ms": outcome.accepted_at_ms or outcome.at_ms,
        "event": None if outcome.event is None else encode(outcome.event),
    }
