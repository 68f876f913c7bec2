"""Who was forgotten: a keyed hash of the user's id, and when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from sqlalchemy import Connection, Engine, func, select, update

from app.domain.forget_user import EMPTY_KNOWN_S
from app.domain.forgetting import user_hash
from app.domain.known_empty import KnownEmpty
from infrastructure.sql.bulk import chunks
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import forgotten_users, forgotten_users_of_history

_TABLES = {"main": forgotten_users, "history": forgotten_users_of_history}


class SqlForgottenUsers:
    """The port `ForgottenUsers` on one of the two databases; stores ask it within their own transactions.

    That nobody was forgotten is believed for `EMPTY_KNOWN_S`; that somebody was, for good.
    """

    def __init__(self, engine: Engine, kind: Literal["main", "history"], secret: bytes) -> None:
        self.engine = engine
        self._table = _TABLES[kind]
        self._secret = secret
        self._emptiness = KnownEmpty(EMPTY_KNOWN_S)

    def forgotten_at(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When those of the users that were forgotten were, last."""
        if not user_ids or self._emptiness.is_known:
            return {}
        with reading(self.engine) as connection:
            return self.within(connection, user_ids)

    def within(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, int]:
        """The same, as the transaction at hand sees it."""
        if not user_ids or self._emptiness.is_empty(lambda: self._is_filled(connection)):
            return {}
        table, by_hash = self._table, {user_hash(self._secret, user_id): user_id for user_id in user_ids}
        found: dict[str, int] = {}
        for hashes in chunks(by_hash):
            query = select(table.c.user_hash, table.c.forgotten_at_ms).where(table.c.user_hash.in_(hashes))
            found |= {by_hash[one]: at_ms for one, at_ms in connection.execute(query)}
        return found

    @repeated
    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note it; of two times the later stays. Whether all processes go by it: none believes any more in nobody."""
        table, hashed = self._table, user_hash(self._secret, user_id)
        with writing(self.engine) as connection:
            connection.execute(insert_new(connection, table), [{"user_hash": hashed, "forgotten_at_ms": at_ms}])
            earlier = (table.c.user_hash == hashed, table.c.forgotten_at_ms < at_ms)
            connection.execute(update(table).where(*earlier).values(forgotten_at_ms=at_ms))
        return self._emptiness.filled()

    def _is_filled(self, connection: Connection) -> bool:
        return connection.scalar(select(func.min(self._table.c.user_hash))) is not None
