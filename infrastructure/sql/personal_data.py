"""All that the two databases hold of a user, removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, delete, select, update

from app.domain.known_users import NOTHING_KNOWN
from app.domain.ports import KnownUsers
from infrastructure.sql.bulk import ROWS_A_STATEMENT
from infrastructure.sql.engine import writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.forgotten import SqlForgottenUsers
from infrastructure.sql.schema import devices, inbox, notifications, outcomes, preferences, suppressions, users
from infrastructure.sql.versions import next_version, version_of


class SqlPersonalData:
    """The port `PersonalData` of the main database: contacts, preferences, inbox, devices.

    A suppression stays, for it is the person's will, or the mailbox's: without the user's id, and with nothing to show.
    """

    def __init__(self, forgotten: SqlForgottenUsers, known: KnownUsers = NOTHING_KNOWN) -> None:
        self._forgotten = forgotten
        self._known = known

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note in this database that the user was forgotten."""
        return self._forgotten.remember(user_id, at_ms)

    def remove(self, user_id: str, at_ms: int) -> Mapping[str, int]:
        """Remove what is theirs, then the copies; counts by kind."""
        removed, version = self._remove(user_id, at_ms)
        self._known.forget(user_id, version, at_ms)
        return removed

    @repeated
    def _remove(self, user_id: str, at_ms: int) -> tuple[dict[str, int], int]:
        theirs = (inbox.c.user_id == user_id, inbox.c.created_at_ms <= at_ms)
        removals = {
            "users": delete(users).where(users.c.user_id == user_id),
            "preferences": delete(preferences).where(preferences.c.user_id == user_id),
            "inbox": delete(inbox).where(*theirs),
            "devices": delete(devices).where(devices.c.user_id == user_id),
        }
        strip = update(suppressions).where(suppressions.c.user_id == user_id).values(user_id="", shown="")
        with writing(self._forgotten.engine) as connection:
            connection.execute(strip)
            version = next_version(max(version_of(connection, table, user_id) for table in (users, preferences)))
            return {kind: connection.execute(removal).rowcount for kind, removal in removals.items()}, version


class SqlHistoryPersonalData:
    """The port `PersonalData` of the history."""

    def __init__(self, forgotten: SqlForgottenUsers) -> None:
        self._forgotten = forgotten

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note in this database that the user was forgotten."""
        return self._forgotten.remember(user_id, at_ms)

    def remove(self, user_id: str, at_ms: int) -> Mapping[str, int]:
        """In portions, each a transaction: what is stripped carries the user's id no more and is not found again."""
        stripped: Counter[str] = Counter(notifications=0, outcomes=0)
        while True:
            found = self._strip_portion(user_id, at_ms)
            stripped += found
            if found["notifications"] < ROWS_A_STATEMENT:
                return {"notifications": stripped["notifications"], "outcomes": stripped["outcomes"]}

    @repeated
    def _strip_portion(self, user_id: str, at_ms: int) -> Counter[str]:
        with writing(self._forgotten.engine) as connection:
            return _strip(connection, user_id, at_ms)


def _strip(connection: Connection, user_id: str, at_ms: int) -> Counter[str]:
    theirs = (notifications.c.user_id == user_id, notifications.c.accepted_at_ms <= at_ms)
    chosen = select(notifications.c.id).where(*theirs).order_by(notifications.c.id).limit(ROWS_A_STATEMENT)
    ids = connection.scalars(chosen.with_for_update()).all()
    if not ids:
        return Counter()
    texts = update(outcomes).where(outcomes.c.notification_id.in_(ids)).values(detail="", provider_id="")
    content = update(notifications).where(notifications.c.id.in_(ids)).values(user_id="", event=None)
    return Counter(outcomes=connection.execute(texts).rowcount, notifications=connection.execute(content).rowcount)
