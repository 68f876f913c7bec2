"""Quiet hours against a clock that is watched minute by minute, in zones with and without daylight saving time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.quiet_hours import quiet_until_ms
from app.domain.users import QuietHours

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",  # puts the clock forward at midnight
    "America/Sao_Paulo",  # did so until 2019
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kathmandu",  # UTC+05:45
    "Africa/Casablanca",  # back for Ramadan
    "Pacific/Apia",  # left out a whole day in 2011
    "Asia/Gaza",
    "Antarctica/Troll",  # by two hours
)
MINUTE_MS = 60_000
START = datetime(2010, 1, 1, tzinfo=UTC)
MINUTES = 30 * 365 * 24 * 60


def ms(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def is_inside(quiet: QuietHours, shown: str) -> bool:
    if quiet.start <= quiet.end:
        return quiet.start <= shown < quiet.end
    return shown >= quiet.start or shown < quiet.end


def watched(quiet: QuietHours, zone: str, now_ms: int) -> int | None:
    """The oracle: the first minute from now on whose time of day is outside."""
    at_ms = now_ms
    while is_inside(quiet, datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).strftime("%H:%M")):
        at_ms = at_ms - at_ms % MINUTE_MS + MINUTE_MS
    return None if at_ms == now_ms else at_ms


def changes(zone: str) -> list[int]:
    """Minutes since START around which the zone's offset changes, found day by day."""
    tz = ZoneInfo(zone)
    days = [START + timedelta(days=day) for day in range(30 * 365)]
    pairs = itertools.pairwise(days)
    return [
        (a - START) // timedelta(minutes=1)
        for a, b in pairs
        if a.astimezone(tz).utcoffset() != b.astimezone(tz).utcoffset()
    ]


CHANGES = [(zone, minute) for zone in ZONES for minute in changes(zone)]
clock_times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
near_changes = st.tuples(st.sampled_from(CHANGES), st.integers(-600, 2000)).map(lambda t: (t[0][0], t[0][1] + t[1]))
moments = st.one_of(near_changes, st.tuples(st.sampled_from(ZONES), st.integers(0, MINUTES)))


@settings(max_examples=300, deadline=None)
@given(moments, clock_times, clock_times, st.integers(0, MINUTE_MS - 1))
@example(
    ("Pacific/Apia", (datetime(2011, 12, 30, 9, 30, tzinfo=UTC) - START) // timedelta(minutes=1)), "20:00", "07:00", 0
)
def test_they_end_when_a_watched_clock_says_so(moment: tuple[str, int], start: str, end: str, rest_ms: int) -> None:
    zone, minute = moment
    now_ms = ms(START) + minute * MINUTE_MS + rest_ms
    quiet = QuietHours(start=start, end=end)
    assert quiet_until_ms(quiet, zone, now_ms) == watched(quiet, zone, now_ms)


def berlin(text: str, fold: int = 0) -> int:
    return ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).astimezone(UTC))


@pytest.mark.parametrize(
    ("start", "end", "now", "until"),
    [
        ("22:00", "07:00", berlin("2025-01-10T23:15"), berlin("2025-01-11T07:00")),
        ("22:00", "07:00", berlin("2025-01-11T06:59:59"), berlin("2025-01-11T07:00")),
        ("22:00", "07:00", berlin("2025-01-11T07:00"), None),
        ("22:00", "07:00", berlin("2025-01-10T21:59:59"), None),
        ("09:00", "17:00", berlin("2025-01-10T12:00"), berlin("2025-01-10T17:00")),
        ("00:00", "00:00", berlin("2025-01-10T12:00"), None),
        # put forward, 02:00 is 03:00: the night is an hour shorter, and an end at 02:30 comes with the change
        ("22:00", "07:00", berlin("2025-03-29T22:00"), berlin("2025-03-29T22:00") + 8 * 3_600_000),
        ("22:00", "02:30", berlin("2025-03-30T01:30"), berlin("2025-03-30T03:00")),
        # put back, 03:00 is 02:00: the night is an hour longer, and 02:30 comes twice
        ("22:00", "07:00", berlin("2025-10-25T22:00"), berlin("2025-10-25T22:00") + 10 * 3_600_000),
        ("22:00", "02:30", berlin("2025-10-26T02:10"), berlin("2025-10-26T02:30")),
        ("22:00", "02:30", berlin("2025-10-26T02:10", fold=1), berlin("2025-10-26T02:30", fold=1)),
    ],
)
def test_nights_in_berlin(start: str, end: str, now: int, until: int | None) -> None:
    assert quiet_until_ms(QuietHours(start=start, end=end), "Europe/Berlin", now) == until


@pytest.mark.parametrize("zone", ["", "Nowhere/Atlantis", "../../etc/passwd", "Europe", "a\x00b"])
def test_a_zone_that_is_not_known_counts_as_utc(zone: str) -> None:
    night, now = QuietHours(start="22:00", end="07:00"), berlin("2025-01-10T23:30")
    assert quiet_until_ms(night, zone, now) == quiet_until_ms(night, "UTC", now) is not None
