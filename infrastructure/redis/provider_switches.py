"""Port ProviderSwitches: one Redis key with all providers that are disabled, so that it can be read along.

Nothing else keeps it: a Redis that is flushed, or that comes back empty, has all of them enabled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from redis import Redis

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.errors import UndecodableError
from app.domain.ports import SwitchedOff
from infrastructure.redis.client import store_errors

#: The key.
SWITCHES: Final = "providers:off"

_SCRIPT: Final = Path(__file__).with_name("provider_switches.lua").read_text()
_log = structlog.get_logger(__name__)


class RedisProviderSwitches:
    """The port. Raises StoreUnavailableError."""

    def __init__(self, client: Redis, clock_ms: Callable[[], int] = now_ms) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)
        self._clock_ms = clock_ms

    def all(self) -> Mapping[str, SwitchedOff]:
        """See `app.domain.ports.ProviderSwitches`."""
        with store_errors():
            found: Any = self._client.get(SWITCHES)
        now = self._clock_ms()
        return {name: off for name, off in (switches_of(found) or {}).items() if off.holds(now)}

    def disable(self, provider: str, off: SwitchedOff) -> None:
        """See `app.domain.ports.ProviderSwitches`."""
        self._set(provider, encode(off).decode())

    def enable(self, provider: str) -> bool:
        """See `app.domain.ports.ProviderSwitches`."""
        return self._set(provider, "")

    def _set(self, provider: str, value: str) -> bool:
        with store_errors():
            was: Any = self._script(keys=[SWITCHES], args=[self._clock_ms(), provider, value])
        return bool(was)


def switches_of(text: str | None) -> Mapping[str, SwitchedOff] | None:
    """What the key holds; None where another version of this service has written what this one cannot read."""
    if text is None:
        return {}
    try:
        return decode(text, dict[str, SwitchedOff])
    except UndecodableError:
        _log.warning("provider_switches_undecodable")
        return None
