"""Who was forgotten: a keyed hash of the user's id, and when."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.domain.forget_user import EMPTY_KNOWN_S
from app.domain.forgetting import user_hash
from app.domain.known_empty import KnownEmpty
from infrastructure.cassandra.client import Client

_ANYBODY = "*"
_SELECT = "SELECT user_hash, forgotten_at_ms FROM forgotten_users WHERE user_hash IN ?"
_INSERT = "INSERT INTO forgotten_users (user_hash, forgotten_at_ms) VALUES (?, ?) USING TIMESTAMP ?"


class CassandraForgottenUsers:
    """The port `ForgottenUsers`. That nobody was is believed for `EMPTY_KNOWN_S`; that somebody was, for good."""

    def __init__(self, client: Client, secret: bytes) -> None:
        self._client = client
        self._secret = secret
        self._emptiness = KnownEmpty(EMPTY_KNOWN_S)

    def forgotten_at(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When those of the users that were forgotten were, last."""
        if not user_ids or self._emptiness.is_empty(self._is_filled):
            return {}
        by_hash = {user_hash(self._secret, user_id): user_id for user_id in user_ids}
        return {by_hash[one]: at_ms for one, at_ms in self._client.rows_of_keys(_SELECT, by_hash)}

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note it; of two times the later stays. Whether all processes go by it: none believes any more in nobody."""
        hashes = (user_hash(self._secret, user_id), _ANYBODY)
        self._client.write([self._client.bind(_INSERT, (one, at_ms, at_ms)) for one in hashes])
        return self._emptiness.filled()

    def _is_filled(self) -> bool:
        return bool(self._client.rows_of_keys(_SELECT, [_ANYBODY]))
