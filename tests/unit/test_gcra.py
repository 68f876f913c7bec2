"""GCRA against what a rate promises, whatever is asked when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.gcra import REFUSED, LaneLimit, Limit, charge, peek, slot, take, take_up_to
from app.domain.rate import Rate, parse_rate

NOW = 1_700_000_000_000_000

rates = st.builds(Rate, st.integers(1, 2000), st.sampled_from([1, 10, 60, 3600]), st.integers(1, 50))
gaps = st.lists(st.integers(0, 3_000_000), min_size=1, max_size=60)


def limit(rate: Rate, key: str = "k") -> Limit:
    return Limit(key, rate)


def lane_limit(rate: Rate, key: str = "k") -> LaneLimit:
    return LaneLimit(limit(rate, key))


def assert_keeps(rate: Rate, times: list[int]) -> None:
    """In every stretch of time at most the burst goes, and one more for each interval."""
    for first, start in enumerate(times):
        for last, end in enumerate(times[first:], first):
            assert last - first + 1 <= rate.burst + (end - start) // rate.interval_us


def test_a_fresh_limit_allows_the_burst_and_then_one_each_interval() -> None:
    rate = parse_rate("2/s:3")
    assert peek(0, NOW, rate) == 3
    tat = take(0, NOW, rate, 3)
    assert peek(tat, NOW, rate) == 0
    assert slot(tat, NOW, rate) == NOW + 500_000
    assert peek(tat, NOW + 499_999, rate) == 0
    assert peek(tat, NOW + 500_000, rate) == 1
    assert peek(tat, NOW + 3_600_000_000, rate) == 3


@given(rates, gaps)
def test_what_goes_at_once_or_at_its_slot_keeps_the_rate(rate: Rate, waits: list[int]) -> None:
    tats: dict[str, int] = {}
    now, times = NOW, []
    for wait in waits:
        now += wait
        at = charge(tats, [limit(rate)], now, now + 10**12)
        times.append(at or now)
    assert times == sorted(times)
    assert_keeps(rate, times)


@given(rates, gaps, st.integers(1, 100))
def test_a_lane_that_asks_for_many_keeps_the_rate(rate: Rate, waits: list[int], wanted: int) -> None:
    tats: dict[str, int] = {}
    now, times = NOW, []
    for wait in waits[:12]:
        now += wait
        granted, _ = take_up_to(tats, [lane_limit(rate)], now, wanted)
        times += [now] * granted
    assert_keeps(rate, times[:200])


@given(rates, st.integers(1, 100), st.integers(0, 2_000_000))
def test_after_the_wait_a_held_lane_gets_what_it_waited_for(rate: Rate, wanted: int, wait: int) -> None:
    tats = {"k": take(0, NOW, rate, rate.burst)}
    granted, wait_us = take_up_to(tats, [lane_limit(rate)], NOW + wait, wanted)
    if not granted:
        again, _ = take_up_to(dict(tats), [lane_limit(rate)], NOW + wait + wait_us, wanted)
        assert again == min(wanted, lane_limit(rate).pace)
        if again == 1:
            assert take_up_to(tats, [lane_limit(rate)], NOW + wait + wait_us - 1, wanted)[0] == 0


def test_the_narrowest_limit_decides_and_all_are_taken_alike() -> None:
    wide, narrow = lane_limit(parse_rate("10/s"), "wide"), lane_limit(parse_rate("3/s"), "narrow")
    tats: dict[str, int] = {}
    assert take_up_to(tats, [wide, narrow], NOW, 8) == (3, 0)
    assert peek(tats["wide"], NOW, wide.whole.rate) == 7
    before = dict(tats)
    granted, wait_us = take_up_to(tats, [wide, narrow], NOW, 8)
    assert (granted, wait_us) == (0, narrow.whole.rate.interval_us)
    assert tats == before


def test_parts_add_up_to_whole_deliveries_the_first_part_first() -> None:
    own, shared = limit(parse_rate("2/s"), "own"), limit(parse_rate("8/s"), "shared")
    both = LaneLimit(limit(parse_rate("10/s"), "whole"), (own, shared))
    tats: dict[str, int] = {}
    assert take_up_to(tats, [both], NOW, 1) == (1, 0)
    assert (tats["own"] - NOW, tats.get("shared")) == (own.rate.interval_us, None)
    assert take_up_to(tats, [both], NOW, 100) == (9, 0)
    granted, wait_us = take_up_to(tats, [both], NOW, 1)
    assert granted == 0
    assert wait_us == pytest.approx(100_000, abs=2), "a fifth of it comes from its own, the rest from what is shared"
    assert take_up_to(tats, [both], NOW + wait_us, 1) == (1, 0)


def test_a_slot_is_taken_in_all_limits_at_the_latest_of_them() -> None:
    user, email = Limit("user", parse_rate("10/m:10")), Limit("email", parse_rate("1/m"))
    tats: dict[str, int] = {}
    assert charge(tats, [user, email], NOW, NOW + 10**9) == 0
    assert charge(tats, [user, email], NOW, NOW + 10**9) == NOW + 60_000_000
    assert charge(tats, [user, email], NOW, NOW + 10**9) == NOW + 120_000_000
    assert peek(tats["user"], NOW, user.rate) == 7


@given(rates, st.integers(0, 5_000_000))
def test_a_refused_delivery_takes_nothing(rate: Rate, room: int) -> None:
    tats = {"k": take(0, NOW, rate, rate.burst)}
    before = dict(tats)
    due = slot(tats["k"], NOW, rate)
    at = charge(tats, [limit(rate)], NOW, NOW + room)
    assert (at == REFUSED) == (due >= NOW + room)
    assert (tats == before) == (at == REFUSED)


def test_without_limits_everything_goes() -> None:
    assert take_up_to({}, [], NOW, 1000) == (1000, 0)
    assert charge({}, [], NOW, 0) == 0
