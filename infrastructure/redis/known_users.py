"""Port KnownUsers: contacts and preferences as SQL last had them, one Redis key a user (format: known_users.lua)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from app.domain.codec import decode, encode
from app.domain.errors import UndecodableError
from app.domain.ports import KnownUser, StoredPreferences
from app.domain.users import Preferences, Recipient
from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

T = TypeVar("T")

_log = structlog.get_logger()

_SCRIPT = Path(__file__).with_name("known_users.lua").read_text()


class RedisKnownUsers:
    """The port over one Lua script: each call is one round trip, whatever the number of users."""

    def __init__(self, client: Redis, *, ttl_s: float) -> None:
        self._script = client.register_script(_SCRIPT)
        self._ttl_ms = int(ttl_s * 1000)

    def remember(self, users: Sequence[KnownUser]) -> str:
        """See `app.domain.ports.KnownUsers`."""
        arguments: list[Any] = []
        for user in users:
            recipient, stored = user.recipient, user.preferences
            arguments += (recipient.version or 0, encode(recipient)) if recipient is not None else (0, b"")
            arguments += (stored.version, encode(stored.preferences)) if stored is not None else (0, b"")
        return str(self._run("remember", [user.user_id for user in users], arguments))

    def find(self, user_ids: Sequence[str]) -> Mapping[str, KnownUser]:
        """See `app.domain.ports.KnownUsers`."""
        if not user_ids:
            return {}
        held = self._run("find", user_ids, [])
        found = (_known(user_id, *fields) for user_id, fields in zip(user_ids, held, strict=True))
        return {one.user_id: one for one in found if one.is_something}

    def forget(self, user_id: str, version: int, at_ms: int) -> None:
        """See `app.domain.ports.KnownUsers`."""
        self._run("forget", [user_id], [at_ms, version])

    def _run(self, operation: str, user_ids: Sequence[str], arguments: list[Any]) -> Any:
        with store_errors():
            return self._script(
                keys=[f"known:{user_id}" for user_id in user_ids], args=[operation, self._ttl_ms, *arguments]
            )


def _known(user_id: str, user: str, prefs: str, prefs_version: str, gone_at: str) -> KnownUser:
    recipient, preferences = _decoded(user, Recipient), _decoded(prefs, Preferences)
    return KnownUser(
        user_id=user_id,
        recipient=recipient,
        preferences=None if preferences is None else StoredPreferences(preferences, int(prefs_version)),
        forgotten_at_ms=int(gone_at),
    )


def _decoded(text: str, kind: type[T]) -> T | None:
    """None also for what another version of this service has written."""
    try:
        return decode(text, kind) if text else None
    except UndecodableError:
        _log.warning("known_user_undecodable", kind=kind.__name__)
        return None
