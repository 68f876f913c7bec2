"""All that the history holds of a user, removed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from infrastructure.cassandra.client import Client
from infrastructure.cassandra.forgotten import CassandraForgottenUsers
from infrastructure.cassandra.listing import MONTHS, unnote_empty
from infrastructure.cassandra.strip import Key, notification_writes
from infrastructure.cassandra.times import forgotten_us

_LISTED = "SELECT notification_id FROM notifications_by_user WHERE user_id = ? AND month = ? AND accepted_at_ms <= ?"
_KEYS = (
    "SELECT notification_id, delivery_id, pass_no, attempt, status FROM outcomes_by_notification"
    " WHERE notification_id IN ?"
)
_DELETE_LISTED = "DELETE FROM notifications_by_user USING TIMESTAMP ? WHERE user_id = ? AND month = ?"
_PORTION = 500


class CassandraPersonalData:
    """The port `PersonalData` of the history."""

    def __init__(self, client: Client, forgotten: CassandraForgottenUsers, retention_s: float) -> None:
        self._client = client
        self._forgotten = forgotten
        self._ttl_s = round(retention_s)

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note in this keyspace that the user was forgotten."""
        return self._forgotten.remember(user_id, at_ms)

    def remove(self, user_id: str, at_ms: int) -> Mapping[str, int]:
        """Month by month: what is listed is stripped, then the listing goes, so that breaking off loses nothing."""
        notifications = outcomes = 0
        for (month,) in list(self._client.rows(MONTHS, (user_id,))):
            for ids in _portions(self._client.rows(_LISTED, (user_id, month, at_ms))):
                notifications += len(ids)
                outcomes += self._strip(ids, at_ms)
            us = forgotten_us(at_ms)
            self._client.write([self._client.bind(_DELETE_LISTED, (us, user_id, month))])
            unnote_empty(self._client, [(user_id, month)], us)
        return {"notifications": notifications, "outcomes": outcomes}

    def _strip(self, ids: list[str], at_ms: int) -> int:
        keys: dict[str, list[Key]] = {name: [] for name in ids}
        for name, *key in self._client.rows_of_keys(_KEYS, ids):
            if key[-1] is not None:
                keys[name].append(tuple(key))
        self._client.write(
            write
            for name, of_it in keys.items()
            for write in notification_writes(self._client, name, of_it, at_ms, self._ttl_s)
        )
        return sum(map(len, keys.values()))


def _portions(rows: Iterator[tuple[str]]) -> Iterator[list[str]]:
    while portion := [name for (name,) in itertools.islice(rows, _PORTION)]:
        yield portion
