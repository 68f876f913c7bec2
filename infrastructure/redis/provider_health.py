"""Port ProviderHealth: what all processes together saw of each provider; by what one saw itself while Redis is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

import structlog
from redis import Redis

from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.provider_health import WELL, Health, HealthPolicy, after_calls
from infrastructure.redis.client import store_errors

#: How old what is known of a provider may be, and how long calls are gathered before they are told.
CACHE_S: Final = 0.25
#: How long Redis is left alone after it failed.
STORE_PAUSE_S: Final = 2.0

_SCRIPT: Final = Path(__file__).with_name("provider_health.lua").read_text()
_log = structlog.get_logger(__name__)


class _Known:
    """What this process knows of one provider: its own calls, those not told yet, the share of all."""

    __slots__ = ("bad", "calls", "own", "share", "until_s")

    def __init__(self) -> None:
        self.own: Health = WELL
        self.share = 1.0
        self.calls = self.bad = 0
        self.until_s = 0.0


class RedisProviderHealth:
    """The port. Threads may share it."""

    def __init__(
        self, client: Redis, policy: HealthPolicy, clock_ms: Callable[[], int] = now_ms, *, cache_s: float = CACHE_S
    ) -> None:
        self._script = client.register_script(_SCRIPT)
        self._policy = policy
        self._clock_ms = clock_ms
        self._cache_s = cache_s
        self._known: dict[str, _Known] = {}
        self._store_down_until = 0.0
        self._lock = Lock()

    def shares(self, names: Sequence[str]) -> dict[str, float]:
        """See `app.domain.ports.ProviderHealth`."""
        now_s = time.monotonic()
        with self._lock:
            known = {name: self._known.setdefault(name, _Known()) for name in names}
            old = {name: one for name, one in known.items() if now_s >= one.until_s}
            for one in old.values():  # marked before the reading: other threads go on with what is known
                one.until_s = now_s + self._cache_s
        for name, one in old.items():
            self._exchange(name, one)
        return {name: one.share for name, one in known.items()}

    def report(self, name: str, *, is_bad: bool) -> None:
        """See `app.domain.ports.ProviderHealth`."""
        now = self._clock_ms()
        with self._lock:
            one = self._known.setdefault(name, _Known())
            one.own = after_calls(self._policy, one.own, 1, int(is_bad), now)
            one.calls += 1
            one.bad += is_bad

    def _exchange(self, name: str, one: _Known) -> None:
        """Tell of the calls since the last time, and hear of everybody's."""
        with self._lock:
            calls, bad, one.calls, one.bad = one.calls, one.bad, 0, 0
            one.own = after_calls(self._policy, one.own, 0, 0, self._clock_ms())
        share = self._ask(name, calls, bad)
        with self._lock:
            one.share = one.own.share if share is None else share

    def _ask(self, name: str, calls: int, bad: int) -> float | None:
        """The share by Redis, or None while it is away; what was told then is lost, and known here all the same."""
        if time.monotonic() < self._store_down_until:
            return None
        policy = self._policy
        arguments: list[float | int] = [
            *(0, calls, bad, policy.half_life_s, policy.least_calls, policy.most_bad, policy.least, policy.back_s)
        ]
        try:
            with store_errors():
                answer: Any = self._script(keys=[f"health:{name}"], args=arguments)
        except StoreUnavailableError as error:
            self._store_down_until = time.monotonic() + STORE_PAUSE_S
            _log.warning("provider_health_unavailable", error=str(error))
            return None
        return float(answer)
