"""Where the callbacks of API keys go: one row a key."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import structs
from sqlalchemy import Engine, delete, insert, select, update

from app.domain.callback import CallbackReceiver
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import callback_receivers as table


class SqlCallbackReceivers:
    """The port `CallbackReceivers`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @repeated
    def put(self, receiver: CallbackReceiver) -> None:
        """See `app.domain.ports.CallbackReceivers`."""
        of_key = table.c.key_id == receiver.key_id
        with writing(self._engine) as connection:
            is_there = connection.scalar(select(table.c.key_id).where(of_key).with_for_update()) is not None
            change = update(table).where(of_key) if is_there else insert(table)
            connection.execute(change.values(structs.asdict(receiver)))

    def list(self) -> list[CallbackReceiver]:
        """See `app.domain.ports.CallbackReceivers`."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(table).order_by(table.c.key_id)).mappings().all()
        return [CallbackReceiver(**row) for row in rows]

    def find(self, key_ids: Collection[str]) -> Mapping[str, CallbackReceiver]:
        """See `app.domain.ports.CallbackReceivers`."""
        if not key_ids:
            return {}
        with reading(self._engine) as connection:
            rows = connection.execute(select(table).where(table.c.key_id.in_(sorted(key_ids)))).mappings().all()
        return {row["key_id"]: CallbackReceiver(**row) for row in rows}

    @repeated
    def remove(self, key_id: str) -> bool:
        """See `app.domain.ports.CallbackReceivers`."""
        with writing(self._engine) as connection:
            return connection.execute(delete(table).where(table.c.key_id == key_id)).rowcount == 1

    @repeated
    def disable(self, receiver: CallbackReceiver, at_ms: int, why: str) -> bool:
        """See `app.domain.ports.CallbackReceivers`."""
        unchanged = (
            table.c.key_id == receiver.key_id,
            table.c.url == receiver.url,
            table.c.failing_since_ms == receiver.failing_since_ms,
            table.c.disabled_at_ms == 0,
        )
        change = update(table).where(*unchanged).values(disabled_at_ms=at_ms, disabled_why=why)
        with writing(self._engine) as connection:
            return connection.execute(change).rowcount == 1
