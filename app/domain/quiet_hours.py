"""Quiet hours on the user's own clock, over midnight and over changes of daylight saving time."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from app.domain.users import QuietHours

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
#: Zones change their offset on full seconds.
_SECOND: Final = timedelta(seconds=1)


def quiet_until_ms(quiet: QuietHours, timezone: str, now_ms: int) -> int | None:
    """When the quiet hours that hold now end (Unix milliseconds), or None where none hold.

    They hold while the user's clock shows a time from start up to, not including, end; so they end early where the
    clock is put forward over the end, and hold twice where it is put back. Start equal to end means none. A timezone
    that is not known counts as UTC.
    """
    start, end = _time_of_day(quiet.start), _time_of_day(quiet.end)
    zone = _zone(timezone)
    at = datetime.fromtimestamp(now_ms // 1000, UTC) + timedelta(milliseconds=now_ms % 1000)
    is_quiet = False
    while (left := _left(_shown(at, zone), start, end)) is not None:
        is_quiet = True
        at = _next_change(at, at + left, zone) or at + left
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1) if is_quiet else None


def _left(shown: timedelta, start: timedelta, end: timedelta) -> timedelta | None:
    """How far the clock must go to the end, or None where it shows a time outside."""
    length = (end - start) % _DAY
    passed = (shown - start) % _DAY
    return length - passed if passed < length else None


def _next_change(after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """The first moment behind `after`, up to `until`, from which the zone has another offset from UTC."""
    while after < until:
        step = min(after + _HOUR, until)
        if _offset(step, zone) != _offset(after, zone):
            return _bisect(after, step, zone)
        after = step
    return None


def _bisect(before: datetime, changed: datetime, zone: tzinfo) -> datetime:
    """The full second between the two on which the offset changes."""
    old = _offset(before, zone)
    low = before.replace(microsecond=0)
    high = changed if not changed.microsecond else changed.replace(microsecond=0) + _SECOND
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        low, high = (middle, high) if _offset(middle, zone) == old else (low, middle)
    return high


def _offset(at: datetime, zone: tzinfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def _shown(at: datetime, zone: tzinfo) -> timedelta:
    """What the user's clock shows, as the time since midnight."""
    local = at.astimezone(zone).replace(tzinfo=None)
    return local - datetime.combine(local.date(), datetime.min.time())


def _time_of_day(text: str) -> timedelta:
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


@functools.lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC
