"""Which notifications a user has, newest first: `notifications_by_user`, by month."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from app.domain.cursor import Position
from app.domain.outcome import Outcome
from infrastructure.cassandra.batches import Write
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.rows import accepted_ms
from infrastructure.cassandra.times import key_us, month_of

_INSERT = (
    "INSERT INTO notifications_by_user (user_id, month, accepted_at_ms, notification_id) VALUES (?, ?, ?, ?)"
    " USING TIMESTAMP ? AND TTL ?"
)
_SELECT = (
    "SELECT accepted_at_ms, notification_id FROM notifications_by_user WHERE user_id = ? AND month = ?"
    " AND (accepted_at_ms, notification_id) < (?, ?) LIMIT ?"
)
_INSERT_MONTH = "INSERT INTO user_months (user_id, month) VALUES (?, ?) USING TIMESTAMP ? AND TTL ?"
_DELETE_MONTH = "DELETE FROM user_months USING TIMESTAMP ? WHERE user_id = ? AND month = ?"
_LEFT = "SELECT notification_id FROM notifications_by_user WHERE user_id = ? AND month = ? LIMIT 1"
MONTHS = "SELECT month FROM user_months WHERE user_id = ?"

_FIRST = Position(2**63 - 1, "")
#: A month is noted with the first of its notifications; the last may come a month and a long ttl later.
_MONTH_LASTS_S = 62 * 24 * 3600
#: Months that this process need not note again; some 20 MB.
_KNOWN_MONTHS = 100_000


class Listing:
    """Writes and reads what each user has."""

    def __init__(self, client: Client, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._known: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def writes(self, outcomes: list[Outcome]) -> list[Write]:
        """The rows of what these are about, each once; what has no user has none."""
        of_users = {(one.user_id, accepted_ms(one), one.notification_id) for one in outcomes if one.user_id}
        return [
            self._client.bind(_INSERT, (user, month_of(at_ms), at_ms, name, key_us(at_ms), self._ttl_s))
            for user, at_ms, name in of_users
        ]

    def months(self, outcomes: list[Outcome]) -> dict[tuple[str, int], int]:
        """The months of these that this process has not noted yet, each with the latest time in it."""
        found = latest_months(outcomes)
        return {key: at_ms for key, at_ms in found.items() if key not in self._known}

    def month_writes(self, months: dict[tuple[str, int], int]) -> list[Write]:
        """What notes these months."""
        lasts_s = self._ttl_s + _MONTH_LASTS_S
        return [
            self._client.bind(_INSERT_MONTH, (user, month, key_us(at_ms), lasts_s))
            for (user, month), at_ms in months.items()
        ]

    def noted(self, months: dict[tuple[str, int], int]) -> None:
        """These are written."""
        with self._lock:
            if len(self._known) + len(months) > _KNOWN_MONTHS:
                self._known.clear()
            self._known.update(months)

    def newest(self, user_id: str, after: Position | None, limit: int) -> list[Position]:
        """Up to `limit` of the user's notifications, newest first, from behind `after`."""
        start, found = after or _FIRST, list[Position]()
        months = [month for (month,) in self._client.rows(MONTHS, (user_id,))]
        for month in months:
            if after is not None and month > month_of(after.at_ms):
                continue
            rows = self._client.rows(_SELECT, (user_id, month, start.at_ms, start.id, limit - len(found)))
            found += [Position(at_ms, name) for at_ms, name in rows]
            if len(found) == limit:
                break
        return found


def unnote_empty(client: Client, months: Iterable[tuple[str, int]], us: int) -> None:
    """Take back the note of these months of users, where nothing is left in them.

    A month in which something later is left stays noted: whoever wrote that need not have noted it again.
    """
    for user_id, month in months:
        if not list(client.rows(_LEFT, (user_id, month))):
            client.write([client.bind(_DELETE_MONTH, (us, user_id, month))])


def latest_months(outcomes: list[Outcome]) -> dict[tuple[str, int], int]:
    """(user, month) of these -> the latest time of acceptance in it."""
    found: dict[tuple[str, int], int] = {}
    for one in outcomes:
        if one.user_id:
            at_ms = accepted_ms(one)
            key = (one.user_id, month_of(at_ms))
            found[key] = max(at_ms, found.get(key, 0))
    return found
