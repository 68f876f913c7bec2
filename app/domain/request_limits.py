"""How many requests an API key may make: GCRA, with what clients are told of it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from app.domain.gcra import REFUSED, Limit, charge, peek, slot
from app.domain.local_limits import now_us
from app.domain.ports import Allowance
from app.domain.rate import Rate


class LocalRequestLimits:
    """Port RequestLimits, exact within the process; it never fails. One number is kept for each key and rate."""

    def __init__(self, clock_us: Callable[[], int] = now_us) -> None:
        self._clock_us = clock_us
        self._tats: dict[str, int] = {}
        self._lock = Lock()

    def ask(self, key_id: str, rate: Rate) -> Allowance:
        """See `app.domain.ports.RequestLimits`."""
        limit = request_limit(key_id, rate)
        with self._lock:
            now = self._clock_us()
            is_granted = charge(self._tats, [limit], now, slot_before=0) != REFUSED
            ahead_us = self._tats.get(limit.key, 0) - now
        return allowance(ahead_us, rate, is_granted=is_granted)


def request_limit(key_id: str, rate: Rate) -> Limit:
    """The limit of a key. Its name ends with the rate, so that a changed one starts afresh."""
    return Limit(f"key:{key_id}:{rate}", rate)


def allowance(ahead_us: int, rate: Rate, *, is_granted: bool) -> Allowance:
    """What is left of a limit whose TAT lies `ahead_us` microseconds in the future."""
    remaining = peek(ahead_us, 0, rate)
    wait_us = max(0, ahead_us) if remaining else slot(ahead_us, 0, rate)
    return Allowance(is_granted=is_granted, remaining=remaining, wait_s=wait_us / 1_000_000)
