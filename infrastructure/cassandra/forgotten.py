"""Who was forgotten: a keyed hash of the user's id, and when."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Mapping

from app.domain.forget_user import EMPTY_KNOWN_S
from app.domain.forgetting import user_hash
from app.domain.known_empty import KnownEmpty
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.marks import Marker, Marks, marks_of

_ANYBODY = "*"
_SELECT = "SELECT user_hash, forgotten_at_ms FROM forgotten_users WHERE user_hash IN ?"
_INSERT = "INSERT INTO forgotten_users (user_hash, forgotten_at_ms) VALUES (?, ?) USING TIMESTAMP ?"
_SPAN = "forgotten"
#: A mark that expires is a change like any other: what is known is asked for again.
_MARK_LASTS_S = 30 * 24 * 3600
#: Users that this process knows not to be forgotten; some 10 MB.
_KNOWN_USERS = 100_000


class CassandraForgottenUsers:
    """The port `ForgottenUsers`. That nobody was is believed for `EMPTY_KNOWN_S`; that somebody was, for good.

    Each look reads the marks of those who forget, and asks only for users who were not asked for since a mark changed.
    """

    def __init__(self, client: Client, secret: bytes) -> None:
        self._client = client
        self._secret = secret
        self._emptiness = KnownEmpty(EMPTY_KNOWN_S)
        self._marker = Marker(client, uuid.uuid4().hex, _MARK_LASTS_S)
        self._lock = threading.Lock()
        self._marks: Marks = {}
        self._others: set[str] = set()

    def forgotten_at(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When those of the users that were forgotten were, last."""
        if not user_ids or self._emptiness.is_empty(self._is_filled):
            return {}
        marks = marks_of(self._client, _SPAN, [0])[0].get(0, {})
        asked = self._unknown(user_ids, marks)
        by_hash = {user_hash(self._secret, user_id): user_id for user_id in asked}
        found = {by_hash[one]: at_ms for one, at_ms in self._client.rows_of_keys(_SELECT, by_hash)}
        self._know(asked - found.keys(), marks)
        return found

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note it; of two times the later stays. Whether all processes go by it: none believes any more in nobody."""
        hashes = (user_hash(self._secret, user_id), _ANYBODY)
        self._client.write([self._client.bind(_INSERT, (one, at_ms, at_ms)) for one in hashes])
        self._marker.mark([(_SPAN, 0, 0)])
        return self._emptiness.filled()

    def _is_filled(self) -> bool:
        return bool(self._client.rows_of_keys(_SELECT, [_ANYBODY]))

    def _unknown(self, user_ids: Collection[str], marks: Marks) -> set[str]:
        with self._lock:
            if marks != self._marks:
                self._marks, self._others = marks, set()
            return set(user_ids) - self._others

    def _know(self, others: Collection[str], marks: Marks) -> None:
        """These were not forgotten when these marks had been found."""
        with self._lock:
            if marks != self._marks:
                return
            if len(self._others) + len(others) > _KNOWN_USERS:
                self._others = set()
            self._others.update(others)
