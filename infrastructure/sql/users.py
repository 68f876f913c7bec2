"""Users and their contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, Row, delete, insert, select, update

from app.domain.codec import decode, encode
from app.domain.users import Contacts, Recipient, User
from infrastructure.sql.engine import reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.schema import inbox, preferences, users

_COLUMNS = (users.c.user_id, users.c.contacts, users.c.locale, users.c.timezone)


class SqlUsers:
    """The port `Users`. Contacts are one JSON column, so that a new channel needs no migration."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, user_id: str) -> User | None:
        """The user, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(users.c.user_id == user_id)).one_or_none()
        return None if row is None else _user(row)

    @repeated
    def put(self, user: User) -> bool:
        """Store the user whole; True if it is new."""
        values = {"contacts": encode(user.contacts), "locale": user.locale, "timezone": user.timezone}
        with writing(self._engine) as connection:
            # Asked first: a server that is told to insert or update does not say reliably which it did.
            found = connection.execute(select(users.c.user_id).where(users.c.user_id == user.id).with_for_update())
            is_new = found.first() is None
            if is_new:
                connection.execute(insert(users).values(user_id=user.id, **values))
            else:
                connection.execute(update(users).where(users.c.user_id == user.id).values(**values))
        return is_new

    @repeated
    def delete(self, user_id: str) -> bool:
        """Remove the user, their preferences and inbox; False if there was no such user."""
        with writing(self._engine) as connection:
            for table in (preferences, inbox):
                connection.execute(delete(table).where(table.c.user_id == user_id))
            return connection.execute(delete(users).where(users.c.user_id == user_id)).rowcount == 1

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
    )
