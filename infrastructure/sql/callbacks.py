"""Callbacks that are not taken yet: one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs
from sqlalchemy import Connection, Engine, RowMapping, bindparam, case, delete, func, select, update

from app.domain.callback import Callback, CallbackReceiver
from app.domain.ports import CallbackResult
from infrastructure.sql.bulk import chunks
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import WORD_LENGTH, callback_receivers, callbacks

_FIRST_DUE = (
    select(callbacks.c.due_at_ms)
    .where(callbacks.c.key_id == callback_receivers.c.key_id)
    .order_by(callbacks.c.due_at_ms)
    .limit(1)
    .scalar_subquery()
    .label("first_due_at_ms")
)
_AGAIN = (
    update(callbacks)
    .where(callbacks.c.id == bindparam("of_id"))
    .values(due_at_ms=bindparam("again_at_ms"), tries=bindparam("tried"))
)


class SqlPendingCallbacks:
    """The port `PendingCallbacks`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @repeated
    def add(self, added: Sequence[Callback]) -> None:
        """See `app.domain.ports.PendingCallbacks`."""
        if not added:
            return
        rows = sorted(added, key=lambda one: one.id)
        with writing(self._engine) as connection:
            for portion in chunks(map(structs.asdict, rows)):
                connection.execute(insert_new(connection, callbacks), portion)

    def due(self) -> list[tuple[CallbackReceiver, int]]:
        """See `app.domain.ports.PendingCallbacks`. One look into the index for each receiver."""
        query = select(callback_receivers, _FIRST_DUE).where(callback_receivers.c.disabled_at_ms == 0)
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return [(_receiver(row), row["first_due_at_ms"]) for row in rows if row["first_due_at_ms"] is not None]

    @repeated
    def take(self, shares: Mapping[str, int], *, now_ms: int, again_at_ms: int) -> list[Callback]:
        """See `app.domain.ports.PendingCallbacks`."""
        if not shares:
            return []
        taken: list[Callback] = []
        with writing(self._engine) as connection:
            for key_id, share in sorted(shares.items()):
                query = (
                    select(callbacks)
                    .where(callbacks.c.key_id == key_id, callbacks.c.due_at_ms <= now_ms)
                    .order_by(callbacks.c.due_at_ms)
                    .limit(share)
                    .with_for_update(skip_locked=True)
                )
                taken += [Callback(**row) for row in connection.execute(query).mappings()]
            for portion in chunks(sorted(one.id for one in taken)):
                theirs = update(callbacks).where(callbacks.c.id.in_(portion))
                connection.execute(theirs.values(due_at_ms=again_at_ms))
        return taken

    @repeated
    def settle(self, results: Sequence[CallbackResult], at_ms: int) -> None:
        """See `app.domain.ports.PendingCallbacks`."""
        if not results:
            return
        ended = sorted(one.callback.id for one in results if one.is_taken or not one.again_at_ms)
        again = [
            {"of_id": one.callback.id, "again_at_ms": one.again_at_ms, "tried": one.callback.tries + 1}
            for one in sorted(results, key=lambda one: one.callback.id)
            if not one.is_taken and one.again_at_ms
        ]
        with writing(self._engine) as connection:
            for portion in chunks(ended):
                connection.execute(delete(callbacks).where(callbacks.c.id.in_(portion)))
            if again:
                connection.execute(_AGAIN, again)
            _note_failing(connection, results, at_ms)

    def counts(self) -> Mapping[str, int]:
        """See `app.domain.ports.PendingCallbacks`."""
        query = select(callbacks.c.key_id, func.count()).group_by(callbacks.c.key_id)
        with reading(self._engine) as connection:
            return {key_id: rows for key_id, rows in connection.execute(query)}  # noqa: C416 - rows are no pairs to dict

    @repeated
    def drop(self, key_id: str, limit: int) -> int:
        """See `app.domain.ports.PendingCallbacks`."""
        with writing(self._engine) as connection:
            query = select(callbacks.c.id).where(callbacks.c.key_id == key_id).limit(limit)
            ids = connection.scalars(query.with_for_update(skip_locked=True)).all()
            for portion in chunks(ids):
                connection.execute(delete(callbacks).where(callbacks.c.id.in_(portion)))
        return len(ids)


def _receiver(row: RowMapping) -> CallbackReceiver:
    return CallbackReceiver(**{name: row[name] for name in CallbackReceiver.__struct_fields__})


def _note_failing(connection: Connection, results: Sequence[CallbackResult], at_ms: int) -> None:
    """A receiver that has taken one of several does not fail."""
    table, since = callback_receivers, callback_receivers.c.failing_since_ms
    taking = {one.callback.key_id for one in results if one.is_taken}
    failing = {one.callback.key_id: one.error[:WORD_LENGTH] for one in results if one.callback.key_id not in taking}
    for key_id, error in sorted(failing.items()):
        first_ms = case((since == 0, at_ms), else_=since)
        change = update(table).where(table.c.key_id == key_id)
        connection.execute(change.values(failing_since_ms=first_ms, last_error=error))
    if taking:
        well_again = update(table).where(table.c.key_id.in_(sorted(taking)), since != 0)
        connection.execute(well_again.values(failing_since_ms=0, last_error=""))
