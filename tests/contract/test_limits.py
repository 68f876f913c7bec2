"""Both limit ports on Redis and in one process, and the scripts against the pure rules, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.domain.limit_rules import LaneLimitTable, UserRates, lane_limits, user_rates
from app.domain.local_limits import LocalLimits
from app.domain.ports import Charged, LaneLimits, Pace, UserCharge, UserLimits
from app.domain.rate import Rate, parse_rate, parse_rates
from infrastructure.redis.lane_limits import RedisLaneLimits
from infrastructure.redis.user_limits import RedisUserLimits

NOW = 1_700_000_000_000_000  # microseconds
FAR_MS = NOW // 1000 + 10**9

real_server = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # each example uses keys of its own


class Limits(LaneLimits, UserLimits, Protocol):
    """Both ports."""


class Both:
    """The two Redis adapters, at a time that the test sets."""

    def __init__(self, client: Redis, lanes: LaneLimitTable, users: UserRates, clock_us: Callable[[], int]) -> None:
        self._lanes = RedisLaneLimits(client, lanes)
        self._users = RedisUserLimits(client, users)
        self._clock_us = clock_us

    def ask(self, queue: str, wanted: int) -> Pace:
        return self._lanes.ask(queue, wanted, now_us=self._clock_us())

    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        return self._users.charge(wanted, owner=owner, now_us=self._clock_us())


class Clock:
    """A clock that stands until it is moved, in microseconds."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["redis", "local"])
def limits(request: pytest.FixtureRequest, client: Redis, clock: Clock) -> Limits:
    lanes = lane_limits(
        everything=parse_rate("100/s"), channel=parse_rates("email=10/s"), priority={}, share_high=0.2, share_low=0.1
    )
    users = user_rates(parse_rate("4/h"), parse_rates("email=2/h"))
    return Both(client, lanes, users, clock) if request.param == "redis" else LocalLimits(lanes, users, clock)


def charge(
    number: int = 0, *, user: str = "u", channel: str = "email", may_park: bool = True, expires: int = FAR_MS
) -> UserCharge:
    return UserCharge(delivery_id=f"d{number}", user_id=user, channel=channel, expires_at_ms=expires, may_park=may_park)


def test_a_lane_gets_what_its_narrowest_limit_has_and_then_waits(limits: Limits, clock: Clock) -> None:
    assert limits.ask("low.email", 100).granted == 8
    held = limits.ask("low.email", 100)
    assert held.granted == 0
    assert held.retry_after_s == pytest.approx(1 / 8)
    assert limits.ask("high.email", 100).granted == 2, "the share of high is left"
    assert limits.ask("low.push", 100).granted == 72, "other channels have the rest of everything but high's share"
    clock.now += round(held.retry_after_s * 1_000_000)
    assert limits.ask("low.email", 100).granted == 1


def test_a_held_lane_of_a_fast_limit_waits_for_a_batch_not_for_one(limits: Limits) -> None:
    assert limits.ask("high.log", 1000).granted == 90
    assert limits.ask("high.log", 1000).retry_after_s == pytest.approx(18 / 90, abs=0.001)
    assert limits.ask("high.log", 1).retry_after_s == pytest.approx(1 / 90, abs=0.001)


def test_a_lane_is_never_granted_more_than_it_wants(limits: Limits) -> None:
    assert [limits.ask("high.log", wanted).granted for wanted in (1, 5, 30)] == [1, 5, 30]


def test_a_batch_sees_its_own_charges_in_order(limits: Limits) -> None:
    charges = [charge(1), charge(2), charge(3), charge(4, may_park=False), charge(5), charge(6, user="other")]
    answers = limits.charge(charges, owner="o")
    half_hour = 1_800_000
    assert answers == [
        Charged(),
        Charged(),
        Charged(slot_at_ms=NOW // 1000 + half_hour),
        Charged(is_refused=True),
        Charged(slot_at_ms=NOW // 1000 + 2 * half_hour),
        Charged(),
    ]


def test_the_later_of_both_levels_decides_and_both_are_taken(limits: Limits) -> None:
    charges = [charge(1, channel="push"), charge(2), charge(3), charge(4), charge(5, channel="push")]
    slots = [answer.slot_at_ms for answer in limits.charge(charges, owner="o")]
    assert slots == [0, 0, 0, NOW // 1000 + 1_800_000, NOW // 1000 + 900_000]


def test_a_slot_beyond_the_expiry_is_not_taken(limits: Limits) -> None:
    limits.charge([charge(1), charge(2)], owner="o")
    late = charge(3, expires=NOW // 1000 + 1_800_000)
    assert limits.charge([late, late], owner="o") == [Charged(is_refused=True)] * 2
    assert limits.charge([charge(4)], owner="o") == [Charged(slot_at_ms=NOW // 1000 + 1_800_000)]


def test_what_was_taken_comes_back_with_time(limits: Limits, clock: Clock) -> None:
    limits.charge([charge(1), charge(2)], owner="o")
    clock.now += 1_800_000_000
    assert limits.charge([charge(3), charge(4, may_park=False)], owner="o") == [Charged(), Charged(is_refused=True)]


# the scripts against the pure rules

rates = st.builds(Rate, st.integers(1, 500), st.sampled_from([1, 60, 3600]), st.integers(1, 100))
optional_rates = st.none() | rates
waits = st.integers(0, 3_600_000_000)


@real_server
@given(
    everything=optional_rates,
    channel=optional_rates,
    priority=optional_rates,
    shares=st.tuples(st.sampled_from([0, 0.2]), st.sampled_from([0, 0.1])),
    steps=st.lists(
        st.tuples(waits, st.sampled_from(["high.email", "low.email", "low.sms"]), st.integers(1, 60)), max_size=15
    ),
)
def test_the_lane_script_does_what_the_rules_say(
    client: Redis,
    everything: Rate | None,
    channel: Rate | None,
    priority: Rate | None,
    shares: tuple[float, float],
    steps: list[tuple[int, str, int]],
) -> None:
    client.flushdb()
    table = lane_limits(
        everything=everything,
        channel={"email": channel} if channel else {},
        priority={"low": priority} if priority else {},
        share_high=shares[0],
        share_low=shares[1],
    )
    clock = Clock()
    script, rules = RedisLaneLimits(client, table), LocalLimits(table, user_rates(None, {}), clock)
    for wait, queue, wanted in steps:
        clock.now += wait
        assert script.ask(queue, wanted, now_us=clock.now) == rules.ask(queue, wanted)


charges = st.builds(
    UserCharge,
    delivery_id=st.uuids().map(str),
    user_id=st.sampled_from(["a", "b|c", "ü:email"]),
    channel=st.sampled_from(["email", "sms", "log"]),
    expires_at_ms=st.integers(NOW // 1000, NOW // 1000 + 8 * 3_600_000),
    may_park=st.booleans(),
)


@real_server
@given(
    user=optional_rates,
    email=optional_rates,
    sms=optional_rates,
    steps=st.lists(st.tuples(waits, st.lists(charges, max_size=12)), max_size=6),
)
def test_the_user_script_does_what_the_rules_say(
    client: Redis,
    user: Rate | None,
    email: Rate | None,
    sms: Rate | None,
    steps: list[tuple[int, list[UserCharge]]],
) -> None:
    client.flushdb()
    users = user_rates(user, {name: rate for name, rate in (("email", email), ("sms", sms)) if rate})
    clock = Clock()
    script, rules = RedisUserLimits(client, users), LocalLimits({}, users, clock)
    for wait, batch in steps:
        clock.now += wait
        assert script.charge(batch, owner="o", now_us=clock.now) == rules.charge(batch, owner="o")


# what only Redis has: claims, its clock, keys that end


def claim(owner: str = "o", charge_field: str = "", payload: str = "") -> str:
    return f"3|h|{owner}|1700000020000|{charge_field}|2|1|{payload}"


@pytest.fixture
def users(client: Redis) -> RedisUserLimits:
    return RedisUserLimits(client, user_rates(parse_rate("1/h"), {}))


def test_a_charge_is_noted_in_the_claim_and_never_repeated(client: Redis, users: RedisUserLimits) -> None:
    payload = '{"a":"x|y||z\\n"}\n|'
    for number in (1, 2):
        client.set(f"claim:d{number}", claim(payload=payload), px=60_000)
    batch = [charge(1), charge(2)]
    first = users.charge(batch, owner="o", now_us=NOW)
    slot_ms = NOW // 1000 + 3_600_000
    assert first == [Charged(), Charged(slot_at_ms=slot_ms)]
    assert client.get("claim:d1") == claim(charge_field="c", payload=payload)
    assert client.get("claim:d2") == claim(charge_field=str(slot_ms), payload=payload)
    assert all(50_000 < client.pttl(f"claim:d{number}") <= 60_000 for number in (1, 2))
    assert users.charge(batch, owner="o", now_us=NOW + 1_000_000) == first
    assert users.charge([charge(3)], owner="o", now_us=NOW) == [Charged(slot_at_ms=slot_ms + 3_600_000)]


def test_the_next_owner_of_a_claim_finds_its_charge(client: Redis, users: RedisUserLimits) -> None:
    slot_ms = NOW // 1000 + 3_600_000
    client.set("claim:d1", claim(owner="next", charge_field="c"))
    client.set("claim:d2", claim(owner="next", charge_field=str(slot_ms)))
    batch = [charge(1), charge(2)]
    assert users.charge(batch, owner="next", now_us=NOW) == [Charged(), Charged(slot_at_ms=slot_ms)]
    assert users.charge(batch, owner="next", now_us=slot_ms * 1000) == [Charged(), Charged()], "its slot has come"
    assert users.charge([charge(3)], owner="o", now_us=NOW) == [Charged()], "nothing was charged"


def test_a_refused_delivery_leaves_its_claim_as_it_is(client: Redis, users: RedisUserLimits) -> None:
    client.set("claim:d2", claim())
    assert users.charge([charge(1), charge(2, may_park=False)], owner="o")[1].is_refused
    assert client.get("claim:d2") == claim()


def test_a_claim_that_is_somebody_elses_is_neither_charged_nor_changed(client: Redis, users: RedisUserLimits) -> None:
    client.set("claim:d1", claim(owner="other"))
    assert users.charge([charge(1), charge(2)], owner="o") == [Charged(), Charged()]
    assert client.get("claim:d1") == claim(owner="other")


def test_a_claim_that_is_gone_is_charged_and_not_made_anew(client: Redis, users: RedisUserLimits) -> None:
    assert [answer.is_refused for answer in users.charge([charge(1), charge(2, may_park=False)], owner="o")] == [
        False,
        True,
    ]
    assert client.exists("claim:d1", "claim:d2") == 0


def test_limits_end_when_they_are_unused_again(client: Redis, users: RedisUserLimits) -> None:
    users.charge([charge(1)], owner="o")
    [key] = client.keys("limit:*")
    assert 3_590_000 < client.pttl(key) <= 3_601_000


def test_by_the_servers_clock_a_second_is_a_second(client: Redis) -> None:
    users = RedisUserLimits(client, user_rates(parse_rate("1/s"), {}))
    first, second = users.charge([charge(1), charge(2, expires=10**15)], owner="o")
    seconds, micros = client.time()
    assert first == Charged()
    assert 0 < second.slot_at_ms - (seconds * 1000 + micros / 1000) < 1001, "a slot is rounded up to a millisecond"
    table = lane_limits(everything=parse_rate("5/s"), channel={}, priority={}, share_high=0, share_low=0)
    lanes = RedisLaneLimits(client, table)
    assert lanes.ask("low.log", 9).granted == 5
    assert 0 < lanes.ask("low.log", 9).retry_after_s <= 0.2


def test_a_batch_of_many_thousands_is_no_trouble(client: Redis) -> None:
    users = RedisUserLimits(client, user_rates(parse_rate("600/h"), parse_rates("email=1/h")))
    batch = [charge(number, user=f"user-{number}") for number in range(9_000)]
    client.mset({f"claim:{one.delivery_id}": claim() for one in batch})
    assert users.charge(batch, owner="o") == [Charged()] * 9_000
    assert client.get("claim:d8999") == claim(charge_field="c")
    again = [charge(number, user=f"user-{number}", may_park=False) for number in range(9_000, 18_000)]
    assert not any(answer.is_refused for answer in users.charge(again, owner="o"))
