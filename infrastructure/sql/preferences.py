"""Users' preferences: one row a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, select, update

from app.domain.codec import decode, encode
from app.domain.users import Preferences
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import preferences as table


class SqlPreferences:
    """The port `PreferenceStore`, without a cache: what `put` has stored is what the next read finds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, user_id: str) -> Preferences:
        """The user's preferences; the defaults where none are stored."""
        return self.get_many([user_id]).get(user_id, Preferences())

    @repeated
    def put(self, user_id: str, preferences: Preferences) -> None:
        """Replace them whole."""
        body = encode(preferences)
        with writing(self._engine) as connection:
            connection.execute(insert_new(connection, table), [{"user_id": user_id, "body": body}])
            connection.execute(update(table).where(table.c.user_id == user_id).values(body=body))

    def get_many(self, user_ids: Sequence[str]) -> Mapping[str, Preferences]:
        """The stored ones by user id, in one query; users without any are left out."""
        if not user_ids:
            return {}
        query = select(table.c.user_id, table.c.body).where(table.c.user_id.in_(set(user_ids)))
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {user_id: decode(body, Preferences) for user_id, body in rows}
