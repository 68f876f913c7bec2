"""Users' preferences: one row a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, Insert, Update, insert, select, update

from app.domain.codec import decode, encode
from app.domain.known_users import NOTHING_KNOWN
from app.domain.ports import KnownUser, KnownUsers, StoredPreferences
from app.domain.users import Preferences
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import preferences as table
from infrastructure.sql.versions import copying, next_version, version_of


class SqlPreferences:
    """The port `PreferenceStore`: reads come from the table, so that what `put` has stored is what the next one finds.

    `known` are copies for others, never read here.
    """

    def __init__(self, engine: Engine, known: KnownUsers = NOTHING_KNOWN) -> None:
        self._engine = engine
        self._known = known

    def get(self, user_id: str) -> Preferences:
        """The user's preferences; the defaults where none are stored."""
        return self.get_many([user_id]).get(user_id, Preferences())

    def put(self, user_id: str, preferences: Preferences) -> None:
        """Replace them whole."""
        stored = StoredPreferences(preferences, self._put(user_id, encode(preferences)))
        with copying():
            self._known.remember([KnownUser(user_id=user_id, preferences=stored)])

    @repeated
    def _put(self, user_id: str, body: bytes) -> int:
        with writing(self._engine) as connection:
            before = version_of(connection, table, user_id)
            version = next_version(before)
            if before:
                change: Update | Insert = update(table).where(table.c.user_id == user_id)
            else:
                change = insert(table).values(user_id=user_id)
            connection.execute(change.values(body=body, version=version))
        return version

    def get_many(self, user_ids: Sequence[str]) -> Mapping[str, Preferences]:
        """The stored ones by user id, in one query; users without any are left out."""
        return {user_id: found.preferences for user_id, found in self.stored(user_ids).items()}

    def stored(self, user_ids: Sequence[str]) -> Mapping[str, StoredPreferences]:
        """The same, with their versions."""
        if not user_ids:
            return {}
        query = select(table.c.user_id, table.c.body, table.c.version).where(table.c.user_id.in_(set(user_ids)))
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {user_id: StoredPreferences(decode(body, Preferences), version) for user_id, body, version in rows}
