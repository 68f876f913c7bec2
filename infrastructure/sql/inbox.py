"""The in-app inbox."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs
from sqlalchemy import Engine, func, select, update

from app.domain.cursor import position
from app.domain.forgetting import is_forgotten
from app.domain.ports import InboxEntry, Page
from infrastructure.sql.bulk import chunks
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.fitting import cut, lengths
from infrastructure.sql.forgotten import SqlForgottenUsers
from infrastructure.sql.keyset import newest
from infrastructure.sql.schema import inbox

_LENGTHS = lengths(inbox)
_ORDER = (inbox.c.created_at_ms, inbox.c.id)


class SqlInbox:
    """The port `Inbox`."""

    def __init__(self, engine: Engine, forgotten: SqlForgottenUsers | None = None) -> None:
        self._engine = engine
        self._forgotten = forgotten

    @repeated
    def add(self, entries: Sequence[InboxEntry]) -> None:
        """Insert those that are not there yet, in one transaction; repeating is harmless.

        What is about an event from before its user was forgotten is left out.
        """
        if not entries:
            return
        rows = sorted((cut(structs.asdict(entry), _LENGTHS) for entry in entries), key=lambda row: row["id"])
        with writing(self._engine) as connection:
            if self._forgotten is not None:
                forgotten_at = self._forgotten.within(connection, {entry.user_id for entry in entries})
                rows = [row for row in rows if not is_forgotten(row["user_id"], row["created_at_ms"], forgotten_at)]
            for portion in chunks(rows):
                connection.execute(insert_new(connection, inbox), portion)

    def list(self, user_id: str, *, unread_only: bool = False, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of `InboxEntry`. Raises ValueError for a cursor that is none of ours."""
        start = position(cursor)
        query = select(inbox).where(inbox.c.user_id == user_id)
        if unread_only:
            query = query.where(inbox.c.read_at_ms.is_(None))
        with reading(self._engine) as connection:
            rows, following = newest(connection, query, _ORDER, start, limit)
        return Page(items=[InboxEntry(**row) for row in rows], cursor=following)

    def unread_count(self, user_id: str) -> int:
        """How many entries the user has not read."""
        query = select(func.count()).where(inbox.c.user_id == user_id, inbox.c.read_at_ms.is_(None))
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one()

    @repeated
    def mark_read(self, user_id: str, entry_ids: Sequence[str] | None, at_ms: int) -> int:
        """Mark these entries read (None: all); how many were unread before."""
        query = update(inbox).where(inbox.c.user_id == user_id, inbox.c.read_at_ms.is_(None)).values(read_at_ms=at_ms)
        with writing(self._engine) as connection:
            if entry_ids is None:
                return connection.execute(query).rowcount
            return sum(
                connection.execute(query.where(inbox.c.id.in_(portion))).rowcount for portion in chunks(entry_ids)
            )
