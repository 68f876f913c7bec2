"""Limits kept in one process: what is left of them while Redis is away."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, Sequence
from threading import Lock
from typing import Final

from app.domain.gcra import REFUSED, charge, take_up_to
from app.domain.limit_rules import LaneLimitTable, UserRates
from app.domain.ports import Charged, LimitsSeen, Pace, UserCharge

#: TATs kept before those that have passed are thrown away.
_MANY: Final = 20_000


def now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


class LocalLimits:
    """The limit ports (`LaneLimits`, `UserLimits`, `LimitBook`), exact within the process; it never fails.

    It knows no claims: a delivery that is asked for twice is charged twice.
    """

    def __init__(self, lanes: LaneLimitTable, users: UserRates, clock_us: Callable[[], int] = now_us) -> None:
        self._lanes = lanes
        self._users = users
        self._clock_us = clock_us
        self._tats: dict[str, int] = {}
        self._many = _MANY
        self._lock = Lock()

    def ask(self, queue: str, wanted: int) -> Pace:
        """As `LaneLimits.ask`."""
        limits = self._lanes.get(queue, ())
        with self._lock:
            granted, wait_us = take_up_to(self._tats, limits, self._clock_us(), wanted)
        return Pace(granted=granted, retry_after_s=wait_us / 1_000_000)

    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        """As `UserLimits.charge`; `owner` is not looked at."""
        del owner
        with self._lock:
            now = self._clock_us()
            self._forget(now)
            return [charge_one(self._tats, self._users, one, now) for one in wanted]

    def peek(self, keys: Sequence[str]) -> LimitsSeen:
        """As `LimitBook.peek`."""
        with self._lock:
            return LimitsSeen(now_us=self._clock_us(), tats={key: self._tats.get(key, 0) for key in keys})

    def _forget(self, now: int) -> None:
        """Drop limits that are unused again, each time their number has doubled."""
        if len(self._tats) > self._many:
            self._tats = {key: tat for key, tat in self._tats.items() if tat > now}
            self._many = max(_MANY, 2 * len(self._tats))


def charge_one(tats: MutableMapping[str, int], users: UserRates, one: UserCharge, now: int) -> Charged:
    """Count a delivery against its user's limits, at `now` (microseconds). A slot is never early."""
    slot_before = one.expires_at_ms * 1000 if one.may_park else 0
    due_us = charge(tats, users.limits(one.user_id, one.channel), now, slot_before)
    if due_us == REFUSED:
        return Charged(is_refused=True)
    return Charged(slot_at_ms=-(-due_us // 1000))
