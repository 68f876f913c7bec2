"""A provider's own rate: what is taken ahead, what of it is each process's, and who may use how much."""

from __future__ import annotations

import pytest

from app.domain.gcra import take_up_to
from app.domain.lane import Priority
from app.domain.limit_rules import Shares
from app.domain.provider_rate import Ahead, ahead_of, limit_of, share_of
from app.domain.rate import Rate, parse_rate

SHARES = Shares(high=0.2, low=0.1)


@pytest.mark.parametrize(
    ("rate", "burst", "most", "life_us"),
    [
        ("100/s", 90, 10, 100_000),
        ("1000/s", 900, 100, 100_000),
        ("1000/s:40", 30, 10, 10_000),
        ("10/s", 9, 1, 100_000),
        ("100/s:3", 3, 1, 0),
        ("1/s", 1, 1, 0),
        ("20/h", 20, 1, 0),
    ],
)
def test_what_is_taken_ahead_is_taken_off_the_burst(rate: str, burst: int, most: int, life_us: int) -> None:
    given = parse_rate(rate)
    ahead = ahead_of(given)
    assert ahead == Ahead(rate=Rate(given.count, given.period_s, burst), most=most, life_us=life_us)
    assert ahead.rate.burst * given.interval_us + life_us <= given.burst * given.interval_us


def test_all_shares_together_are_the_rate() -> None:
    share = share_of(parse_rate("100/s"), 4)
    assert share == Rate(100, 4, 25)
    assert share.interval_us == 4 * parse_rate("100/s").interval_us
    assert share_of(parse_rate("1/s"), 4).burst == 1, "nobody could call with less"


def test_low_leaves_high_its_part() -> None:
    rate = parse_rate("100/s")
    tats: dict[str, int] = {}
    of_low = [limit_of("gateway", rate, Priority.LOW, SHARES)]
    of_high = [limit_of("gateway", rate, Priority.HIGH, SHARES)]
    assert take_up_to(tats, of_low, 0, 1000)[0] == 80
    assert take_up_to(tats, of_high, 0, 1000)[0] == 20
    assert take_up_to(tats, [limit_of("other", rate, Priority.LOW, SHARES)], 0, 1000)[0] == 80, "each has its own"
