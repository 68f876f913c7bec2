"""Port ProviderRates: providers' own rates, shared by all workers (script: lane_limits.lua)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final

import structlog
from redis import Redis

from app.domain.errors import StoreUnavailableError
from app.domain.gcra import take_up_to
from app.domain.lane import Lane
from app.domain.limit_rules import Shares
from app.domain.provider_rate import Ahead, ahead_of, limit_of, share_of
from app.domain.rate import Rate
from infrastructure.redis.client import store_errors
from infrastructure.redis.lane_limits import numbers_of

#: How long Redis is left alone after it failed.
STORE_PAUSE_S: Final = 2.0
#: How old the number of processes may be while Redis answers.
_PROCESSES_S: Final = 10.0

_SCRIPT: Final = Path(__file__).with_name("lane_limits.lua").read_text()
_log = structlog.get_logger(__name__)


class _Held:
    """What this process holds of a provider's rate for one lane. Seconds are monotonic."""

    __slots__ = ("full_until_s", "left", "next", "until_s", "used")

    def __init__(self) -> None:
        self.left = self.used = 0
        self.next = 1
        self.until_s = self.full_until_s = 0.0

    def asks_for(self, most: int, now_s: float) -> int:
        """How many to take now: what is not used in time is lost, to all. More where all were used before the time."""
        if self.left:
            self.next = max(1, self.used)
        elif self.used and now_s < self.until_s:
            self.next = min(most, 2 * self.next)
        return self.next


class RedisProviderRates:
    """The port: a round trip for what is used within 0.1 s, none while nothing is left. Threads may share it.

    `children` counts, by queue, the processes that call: each keeps to its part of the rate while Redis is away.
    """

    def __init__(
        self,
        client: Redis,
        shares: Shares,
        children: Callable[[], Mapping[str, int]],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._script = client.register_script(_SCRIPT)
        self._shares = shares
        self._children = children
        self._clock_s = clock_s
        self._held: dict[tuple[str, str], _Held] = {}
        self._tats: dict[str, int] = {}
        self._processes: Mapping[str, int] = {}
        self._count_at = self._store_down_until = 0.0
        self._lock = Lock()

    def take(self, provider: str, rate: Rate, lane: Lane, waiting: int) -> float:
        """See `app.domain.ports.ProviderRates`."""
        with self._lock:  # also while Redis is asked: who comes meanwhile may have what is taken ahead
            now_s = self._clock_s()
            held = self._held.setdefault((provider, lane.queue), _Held())
            if now_s < held.full_until_s:
                return held.full_until_s - now_s
            if not held.left or now_s >= held.until_s:
                ahead = ahead_of(rate)
                wait_s = self._ask(held, provider, ahead, lane, min(waiting, held.asks_for(ahead.most, now_s)), now_s)
                if wait_s is None:
                    return self._alone(provider, rate, lane)
                if wait_s:
                    held.full_until_s = now_s + wait_s
                    return wait_s
            held.left -= 1
            held.used += 1
            return 0.0

    def _ask(self, held: _Held, provider: str, ahead: Ahead, lane: Lane, wanted: int, now_s: float) -> float | None:
        """Take up to `wanted` (0), or hear when to ask again; None while Redis is away."""
        held.left = held.used = 0
        if now_s < self._store_down_until:
            return None
        limit = limit_of(provider, ahead.rate, lane.priority, self._shares)
        keys = [f"limit:{one.key}" for one in (limit.whole, *limit.parts)]
        try:
            with store_errors():
                numbers = numbers_of(limit, min(ahead.most, limit.pace))
                answer: Any = self._script(keys=keys, args=[0, wanted, *numbers])
            self._count(now_s)
        except StoreUnavailableError as error:
            self._store_down_until = now_s + STORE_PAUSE_S
            _log.warning("provider_rates_unavailable", provider=provider, error=str(error))
            return None
        held.left, wait_us = answer
        held.until_s = now_s + ahead.life_us / 1_000_000
        return 0.0 if held.left else max(1, wait_us) / 1_000_000

    def _count(self, now_s: float) -> None:
        """See now and again how many processes there are, for the time in which nobody can be asked."""
        if now_s >= self._count_at:
            self._count_at = now_s + _PROCESSES_S
            self._processes = self._children()

    def _alone(self, provider: str, rate: Rate, lane: Lane) -> float:
        """As `take`, by this process's share."""
        share = share_of(rate, max(1, self._processes.get(lane.queue, 0)))
        limit = limit_of(provider, share, lane.priority, self._shares)
        _, wait_us = take_up_to(self._tats, [limit], int(self._clock_s() * 1_000_000), 1)
        return wait_us / 1_000_000
