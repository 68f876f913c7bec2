"""A provider's own rate: how it is divided, how calls are taken ahead, and a process's share while it cannot ask.

Each call that is asked for by itself is a round trip. So calls are taken ahead, to be made within a short time, and
the store is asked with a burst that is smaller by as many: in any time there are then at most as many calls as the
rate allows in it, and its burst, however many processes take ahead.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from app.domain.gcra import LaneLimit
from app.domain.lane import Priority
from app.domain.limit_rules import Shares, divided
from app.domain.rate import Rate

#: How long what was taken ahead may be used at most, microseconds: with each process that asks, one of the rate's
#: steps or more.
AHEAD_US: Final = 100_000
#: What part of its burst a rate gives up for that.
_BURST_PARTS: Final = 4


class Ahead(Struct, frozen=True, kw_only=True):
    """Up to `most` calls may be taken at a time, and made within `life_us`; `rate` is what the store is asked with.

    `life_us` 0: one at a time, made at once.
    """

    rate: Rate
    most: int
    life_us: int


def ahead_of(rate: Rate) -> Ahead:
    """How calls of this rate are taken."""
    steps = min(AHEAD_US // rate.interval_us, rate.burst // _BURST_PARTS)
    smaller = Rate(rate.count, rate.period_s, rate.burst - steps)
    return Ahead(rate=smaller, most=max(1, steps), life_us=steps * rate.interval_us)


def limit_of(provider: str, rate: Rate, priority: Priority, shares: Shares) -> LaneLimit:
    """The limit that a call for a delivery of this priority takes of: as lane limits are, divided by priority."""
    return divided(f"provider:{provider}", rate, priority, shares)


def share_of(rate: Rate, processes: int) -> Rate:
    """What each of so many processes may do by itself, so that all together do what the rate says."""
    return Rate(rate.count, rate.period_s * processes, max(1, rate.burst // processes))
