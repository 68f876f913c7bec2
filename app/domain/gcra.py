"""GCRA, the generic cell rate algorithm (ITU-T I.371): one number per limit, exact waiting times.

The number is the theoretical arrival time (TAT): when the limit is unused again. All times here are integer
microseconds; a limit that was never used has a TAT of 0. The scripts in `infrastructure/redis` do the same in Lua.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Final

from msgspec import Struct

from app.domain.rate import Rate

#: How much of its rate a held lane waits for, so that it goes on with a batch and not one by one.
PACE_US: Final = 200_000

REFUSED: Final = -1


class Limit(Struct, frozen=True):
    """One limit that concerns a delivery. `key` names its TAT in the store."""

    key: str
    rate: Rate

    @property
    def pace(self) -> int:
        """How many to wait for, at least 1."""
        return max(1, min(self.rate.burst, PACE_US // self.rate.interval_us))


def peek(tat: int, now: int, rate: Rate) -> int:
    """How many may go now."""
    return max(0, (now + rate.burst * rate.interval_us - max(tat, now)) // rate.interval_us)


def take(tat: int, now: int, rate: Rate, n: int = 1) -> int:
    """The TAT after `n` were taken, now or as slots."""
    return max(tat, now) + n * rate.interval_us


def slot(tat: int, now: int, rate: Rate, n: int = 1) -> int:
    """When `n` (at most the burst) may go: `now` or later."""
    return max(now, max(tat, now) + (n - rate.burst) * rate.interval_us)


def take_up_to(tats: MutableMapping[str, int], limits: Sequence[Limit], now: int, wanted: int) -> tuple[int, int]:
    """Take as many as every limit allows, from all of them or none.

    Returns (granted, microseconds to wait): the wait is 0 unless nothing was granted.
    """
    granted = min((peek(tats.get(limit.key, 0), now, limit.rate) for limit in limits), default=wanted)
    granted = min(granted, wanted)
    if granted < 1:
        ready = (slot(tats.get(limit.key, 0), now, limit.rate, min(wanted, limit.pace)) for limit in limits)
        return 0, max(ready, default=now) - now
    for limit in limits:
        tats[limit.key] = take(tats.get(limit.key, 0), now, limit.rate, granted)
    return granted, 0


def charge(tats: MutableMapping[str, int], limits: Sequence[Limit], now: int, slot_before: int) -> int:
    """Take one of every limit, now or at the next slot that is free in all of them, if that is before `slot_before`.

    Returns 0 where it may go now, the slot where one was taken, `REFUSED` where nothing was taken. With `slot_before`
    0 no slot is ever taken.
    """
    due = max((slot(tats.get(limit.key, 0), now, limit.rate) for limit in limits), default=now)
    if due > now and due >= slot_before:
        return REFUSED
    for limit in limits:
        tats[limit.key] = take(tats.get(limit.key, 0), now, limit.rate)
    return due if due > now else 0
