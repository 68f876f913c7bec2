"""Users and their contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, Insert, Row, Update, delete, insert, select, update

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.known_users import NOTHING_KNOWN
from app.domain.ports import KnownUser, KnownUsers
from app.domain.users import Contacts, Recipient, User
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import devices, inbox, preferences, users
from infrastructure.sql.versions import copying, next_version, version_of

_COLUMNS = (users.c.user_id, users.c.contacts, users.c.locale, users.c.timezone, users.c.version)


class SqlUsers:
    """The port `Users`. Contacts are one JSON column, so that a new channel needs no migration."""

    def __init__(self, engine: Engine, known: KnownUsers = NOTHING_KNOWN) -> None:
        self._engine = engine
        self._known = known

    def get(self, user_id: str) -> User | None:
        """The user, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(users.c.user_id == user_id)).one_or_none()
        return None if row is None else _user(row)

    def put(self, user: User) -> bool:
        """Store the user whole; True if it is new."""
        is_new, version = self._put(user)
        recipient = Recipient(
            user_id=user.id,
            contacts=user.contacts,
            locale=user.locale,
            timezone=user.timezone,
            is_known=True,
            version=version,
        )
        with copying():
            self._known.remember([KnownUser(user_id=user.id, recipient=recipient)])
        return is_new

    @repeated
    def _put(self, user: User) -> tuple[bool, int]:
        values = {"contacts": encode(user.contacts), "locale": user.locale, "timezone": user.timezone}
        with writing(self._engine) as connection:
            # Asked first: a server that is told to insert or update does not say reliably which it did.
            before = version_of(connection, users, user.id)
            version = next_version(before)
            if before:
                change: Update | Insert = update(users).where(users.c.user_id == user.id)
            else:
                change = insert(users).values(user_id=user.id)
            connection.execute(change.values(**values, version=version))
        return not before, version

    def delete(self, user_id: str) -> bool:
        """Remove the user, their preferences, inbox and devices; False if there was no such user."""
        was_there, version = self._delete(user_id)
        with copying():
            self._known.forget(user_id, version, now_ms())
        return was_there

    @repeated
    def _delete(self, user_id: str) -> tuple[bool, int]:
        with writing(self._engine) as connection:
            version = next_version(max(version_of(connection, table, user_id) for table in (users, preferences)))
            for table in (preferences, inbox, devices):
                connection.execute(delete(table).where(table.c.user_id == user_id))
            return connection.execute(delete(users).where(users.c.user_id == user_id)).rowcount == 1, version

    def list(self, *, after: str = "", limit: int = 100) -> list[User]:
        """Users in order of id, from behind `after`."""
        query = select(*_COLUMNS).where(users.c.user_id > after).order_by(users.c.user_id).limit(limit)
        with reading(self._engine) as connection:
            return [_user(row) for row in connection.execute(query)]

    def recipients(self, user_ids: Sequence[str]) -> Mapping[str, Recipient]:
        """Those of the users that are known, by id, in one query."""
        if not user_ids:
            return {}
        with reading(self._engine) as connection:
            rows = connection.execute(select(*_COLUMNS).where(users.c.user_id.in_(set(user_ids)))).all()
        return {row.user_id: _recipient(row) for row in rows}


def _user(row: Row[*tuple[object, ...]]) -> User:
    contacts = decode(row.contacts, Contacts)
    return User(id=row.user_id, contacts=contacts, locale=row.locale, timezone=row.timezone)


def _recipient(row: Row[*tuple[object, ...]]) -> Recipient:
    return Recipient(
        user_id=row.user_id,
        contacts=decode(row.contacts, Contacts),
        locale=row.locale,
        timezone=row.timezone,
        is_known=True,
        version=row.version,
    )
