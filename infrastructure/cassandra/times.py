"""Write times (microseconds) and months, all from the events' own time, so that repeated and late news do no harm.

Of two writes of a cell the one with the later write time stays. What belongs to events accepted in a millisecond is
written within that millisecond, so that a deletion at the end of the millisecond in which a user was forgotten takes
all that was accepted until then, whenever it is written, and nothing that was accepted afterwards.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from app.domain.statistics import DAY_MS

_LAST_US = 999


def key_us(accepted_at_ms: int) -> int:
    """For rows that are all key."""
    return accepted_at_ms * 1000


def content_us(accepted_at_ms: int, at_ms: int) -> int:
    """For content: of the same notification the first to happen stays (to the millisecond, within a second)."""
    return accepted_at_ms * 1000 + _LAST_US - min(_LAST_US, max(0, at_ms - accepted_at_ms))


def forgotten_us(forgotten_at_ms: int) -> int:
    """For deleting what was accepted until then."""
    return forgotten_at_ms * 1000 + _LAST_US


def month_of(at_ms: int) -> int:
    """The month (UTC) as YYYYMM."""
    return _month_of_day(at_ms // DAY_MS)


@functools.lru_cache(maxsize=4096)
def _month_of_day(day: int) -> int:
    date = datetime.fromtimestamp(day * DAY_MS / 1000, UTC)
    return date.year * 100 + date.month
