"""Port Breakers: circuit breakers that all processes see: Redis keys `breaker:{name}`, values `open_until_ms:level`.

Each look also reads which providers operators have disabled (`provider_switches.py`), in the same round trip.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, Final

import structlog
from redis import Redis

from app.domain.breaker import CLOSED, BreakerPolicy
from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER
from app.domain.metric_catalogue import BREAKER_CHANGES
from app.domain.ports import BreakerState, SwitchedOff
from infrastructure.redis.client import store_errors
from infrastructure.redis.provider_switches import SWITCHES, switches_of

#: How old what is known of a breaker may be.
CACHE_MS: Final = 250
#: How long Redis is left alone after it failed, so that its time-outs do not add to every call.
STORE_PAUSE_MS: Final = 2_000
#: How long after its pause a breaker is remembered as half open while nobody tries.
REMEMBER_MS: Final = 600_000
#: Breakers known to a process before some are forgotten (webhooks have one for each host).
_MANY: Final = 10_000

_log = structlog.get_logger(__name__)


class _Known:
    """What this process knows of one breaker."""

    __slots__ = ("points", "read_at_ms", "state")

    def __init__(self) -> None:
        self.state: BreakerState = CLOSED
        self.points = 0
        self.read_at_ms = 0


class RedisBreakers:
    """The port. Failures in a row are counted by each process; what they lead to is shared."""

    def __init__(self, client: Redis, policy: BreakerPolicy, clock_ms: Callable[[], int] = now_ms) -> None:
        self._client = client
        self._policy = policy
        self._clock_ms = clock_ms
        self._known: dict[str, _Known] = {}
        self._off: Mapping[str, SwitchedOff] = {}
        self._store_down_until = 0.0
        self._lock = Lock()

    def state(self, key: str) -> BreakerState:
        """See `app.domain.ports.Breakers`."""
        return self.states([key])[key]

    def states(self, keys: Iterable[str]) -> dict[str, BreakerState]:
        """Many at once, in at most one round trip; raises nothing."""
        names = list(dict.fromkeys(keys))
        now = self._clock_ms()
        with self._lock:
            if len(self._known) + len(names) > _MANY:
                self._make_room()
            known = {name: self._get(name) for name in names}
            stale = [name for name, one in known.items() if now - one.read_at_ms >= CACHE_MS]
            for name in stale:  # marked before the reading: other threads go on with what is known
                known[name].read_at_ms = now
        self._read(stale)
        return {name: one.state for name, one in known.items()}

    def report(self, key: str, *, is_success: bool, weight: int = 1) -> None:
        """See `app.domain.ports.Breakers`."""
        state = self.state(key)
        if is_success and state == CLOSED:
            with self._lock:
                self._get(key).points = 0
            return
        self._read([key])  # a change goes by what is so now
        with self._lock:
            one = self._get(key)
            before, now = one.state, self._clock_ms()
            if is_success:
                one.state = self._policy.after_success(before, now)
            else:
                one.points += weight
                one.state = self._policy.after_failure(before, one.points, now)
            if one.state == before:
                return
            one.points, after = 0, one.state
        self._write(key, after, now)

    def off(self, provider: str) -> SwitchedOff | None:
        """See `app.domain.ports.Breakers`."""
        found = self._off.get(provider)
        return found if found is not None and found.holds(self._clock_ms()) else None

    def _get(self, key: str) -> _Known:
        one = self._known.get(key)
        if one is None:
            one = self._known[key] = _Known()
        return one

    def _make_room(self) -> None:
        """Forget those without trouble, and of the others, where they are many, those not asked for the longest.

        What is open is known to Redis. Half is kept, so that not every new host makes room anew.
        """
        troubled = [(name, one) for name, one in self._known.items() if one.points or one.state != CLOSED]
        troubled.sort(key=lambda known: known[1].read_at_ms)
        self._known = dict(troubled[-(_MANY // 2) :])

    def _read(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        found: Any = self._ask(lambda: self._client.mget([*(f"breaker:{key}" for key in keys), SWITCHES]))
        if found is None:
            return
        off = switches_of(found.pop())
        with self._lock:
            self._off = self._off if off is None else off
            for key, value in zip(keys, found, strict=True):
                one, state = self._get(key), _parsed(value)
                if state != one.state:  # another process opened or closed it: a new row of failures begins
                    one.state, one.points = state, 0

    def _write(self, key: str, state: BreakerState, now: int) -> None:
        METER.count(BREAKER_CHANGES, ("closed" if state == CLOSED else "open",))
        if state == CLOSED:
            _log.info("breaker_closed", breaker=_shown(key))
            self._ask(lambda: self._client.delete(f"breaker:{key}"))
            return
        _log.warning("breaker_opened", breaker=_shown(key), level=state.level, open_ms=state.open_until_ms - now)
        life_ms = state.open_until_ms - now + REMEMBER_MS
        value = f"{state.open_until_ms}:{state.level}"
        self._ask(lambda: self._client.set(f"breaker:{key}", value, px=life_ms))

    def _ask(self, call: Callable[[], Any]) -> Any:
        """What Redis answers, or None while it is away."""
        if time.monotonic() < self._store_down_until:
            return None
        try:
            with store_errors():
                return call()
        except StoreUnavailableError as error:
            self._store_down_until = time.monotonic() + STORE_PAUSE_MS / 1000
            _log.warning("breakers_store_unavailable", error=str(error))
            return None


def _shown(key: str) -> str:
    """A provider's name as it is; a host is part of an address, so that only a mark of it may be in a log."""
    return f"host-{hashlib.sha256(key.encode()).hexdigest()[:8]}" if ":" in key else key


def _parsed(value: str | None) -> BreakerState:
    open_until_ms, _, level = (value or "").partition(":")
    if not (open_until_ms.isdecimal() and level.isdecimal()):
        return CLOSED
    return BreakerState(open_until_ms=int(open_until_ms), level=int(level))
