"""GCRA, the generic cell rate algorithm (ITU-T I.371): one number per limit, exact waiting times.

The number is the theoretical arrival time (TAT): when the limit is unused again. All times here are integer
microseconds; a limit that was never used has a TAT of 0. The scripts in `infrastructure/redis` do the same in Lua.
"""

from __future__ import annotations

import math
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


class LaneLimit(Struct, frozen=True):
    """A limit that lanes share.

    `parts` are what of it a lane may use: what is set aside for its own, then what is there for all. A delivery can
    take a fraction of each, so that their rates add up; where there are none, the whole is the lane's.
    """

    whole: Limit
    parts: tuple[Limit, ...] = ()

    @property
    def pace(self) -> int:
        """How many a held lane waits for, at least 1."""
        rates = [limit.rate for limit in self.parts or (self.whole,)]
        return max(1, min(sum(rate.burst for rate in rates), int(PACE_US * _per_us(rates))))


def peek(tat: int, now: int, rate: Rate) -> int:
    """How many may go now."""
    return max(0, (now + rate.burst * rate.interval_us - max(tat, now)) // rate.interval_us)


def take(tat: int, now: int, rate: Rate, n: int = 1) -> int:
    """The TAT after `n` were taken, now or as slots."""
    return max(tat, now) + n * rate.interval_us


def slot(tat: int, now: int, rate: Rate, n: int = 1) -> int:
    """When `n` (at most the burst) may go: `now` or later."""
    return max(now, max(tat, now) + (n - rate.burst) * rate.interval_us)


def take_up_to(tats: MutableMapping[str, int], limits: Sequence[LaneLimit], now: int, wanted: int) -> tuple[int, int]:
    """Take as many as every limit allows, from all of them or none.

    Returns (granted, microseconds to wait): the wait is 0 unless nothing was granted.
    """
    granted, wait = wanted, 0
    for limit in limits:
        whole, need = limit.whole, min(wanted, limit.pace)
        granted = min(granted, peek(tats.get(whole.key, 0), now, whole.rate))
        wait = max(wait, slot(tats.get(whole.key, 0), now, whole.rate, need) - now)
        if limit.parts:
            there = sum(_left_us(tats, part, now) / part.rate.interval_us for part in limit.parts)
            granted = min(granted, math.floor(there))
            wait = max(wait, math.ceil((need - there) / _per_us([part.rate for part in limit.parts])))
    if granted < 1:
        return 0, wait
    for limit in limits:
        tats[limit.whole.key] = take(tats.get(limit.whole.key, 0), now, limit.whole.rate, granted)
        _take_of_parts(tats, limit.parts, now, granted)
    return granted, 0


def _take_of_parts(tats: MutableMapping[str, int], parts: Sequence[Limit], now: int, wanted: int) -> None:
    """Take from the first what it has, and what is missing from the next."""
    missing = float(wanted)
    for part in parts:
        interval = part.rate.interval_us
        taken_us = min(_left_us(tats, part, now), math.ceil(missing * interval))
        if taken_us > 0:
            tats[part.key] = max(tats.get(part.key, 0), now) + taken_us
            missing = max(0.0, missing - taken_us / interval)


def _left_us(tats: MutableMapping[str, int], limit: Limit, now: int) -> int:
    """What is left of a limit, in microseconds of its rate."""
    return now + limit.rate.burst * limit.rate.interval_us - max(tats.get(limit.key, 0), now)


def _per_us(rates: Sequence[Rate]) -> float:
    return sum(1 / rate.interval_us for rate in rates)


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
