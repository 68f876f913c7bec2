"""Port KnownSuppressions: one Redis key an address (format: known_suppressions.lua), by the hash that SQL has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.suppression import Destination, address_id
from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

_SCRIPT = Path(__file__).with_name("known_suppressions.lua").read_text()


class RedisKnownSuppressions:
    """The port. Each call is one round trip. `secret` makes the hashes."""

    def __init__(self, client: Redis, secret: bytes, *, ttl_s: float) -> None:
        self._client = client
        self._secret = secret
        self._script = client.register_script(_SCRIPT)
        self._ttl_ms = int(ttl_s * 1000)

    def remember(self, known: Mapping[Destination, str], at_ms: int) -> None:
        """See `app.domain.ports.KnownSuppressions`."""
        if not known:
            return
        with store_errors():
            self._script(keys=[self._key(one) for one in known], args=[self._ttl_ms, at_ms, *known.values()])

    def find(self, destinations: Collection[Destination]) -> Mapping[Destination, str]:
        """See `app.domain.ports.KnownSuppressions`."""
        asked = list(destinations)
        if not asked:
            return {}
        with store_errors():
            held: Any = self._client.mget([self._key(one) for one in asked])
        reasons = (str(one or "").partition("|")[2] for one in held)
        return {one: reason for one, reason in zip(asked, reasons, strict=True) if reason}

    def _key(self, destination: Destination) -> str:
        return f"suppressed:{address_id(self._secret, destination)}"
