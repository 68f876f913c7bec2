"""The health of providers on Redis and in one process, and the script against the pure rule."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.domain.provider_health import WELL, HealthPolicy, after_calls
from infrastructure.redis.client import make_client
from infrastructure.redis.provider_health import RedisProviderHealth
from tests.support.redis_server import RedisServer
from tests.support.standing_clock import StandingClock

POLICY = HealthPolicy()
NOW_MS = 1_700_000_000_000


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


def health_of(client: Redis, clock: StandingClock) -> RedisProviderHealth:
    return RedisProviderHealth(client, POLICY, clock, cache_s=0.0)


def report(health: RedisProviderHealth, calls: int, bad: int, name: str = "a") -> None:
    for number in range(calls):
        health.report(name, is_bad=number < bad)


# the rule


def test_a_provider_that_fails_is_left_with_next_to_nothing_at_once() -> None:
    assert after_calls(POLICY, WELL, 10, 10, NOW_MS).share == POLICY.least


def test_one_that_fails_in_part_keeps_a_part() -> None:
    assert after_calls(POLICY, WELL, 10, 5, NOW_MS).share == pytest.approx(0.5**3)
    assert after_calls(POLICY, WELL, 10, 3, NOW_MS).share == 1.0, "as much is nothing unusual"


def test_few_calls_say_nothing() -> None:
    assert after_calls(POLICY, WELL, 2, 2, NOW_MS).share == 1.0


def test_the_share_drifts_back_slowly_when_a_call_has_done_well() -> None:
    down = after_calls(POLICY, WELL, 10, 10, NOW_MS)
    waited = after_calls(POLICY, down, 0, 0, NOW_MS + 30_000)
    assert waited.share == POLICY.least, "not for nothing"
    tried = after_calls(POLICY, waited, 1, 0, NOW_MS + 30_000)
    later = after_calls(POLICY, tried, 0, 0, NOW_MS + 60_000)
    assert later.share == pytest.approx(POLICY.least + 0.5)
    assert after_calls(POLICY, later, 0, 0, NOW_MS + 120_000).share == 1.0


def test_of_one_that_recovers_one_bad_call_says_enough() -> None:
    down = after_calls(POLICY, WELL, 10, 10, NOW_MS)
    tried = after_calls(POLICY, down, 1, 0, NOW_MS + 60_000)
    later = after_calls(POLICY, tried, 0, 0, NOW_MS + 90_000)
    assert after_calls(POLICY, later, 1, 1, NOW_MS + 90_000).share < 0.02


def test_one_that_nobody_calls_comes_back_all_the_same() -> None:
    """At a few calls an hour there may be no trial for long."""
    down = after_calls(POLICY, WELL, 10, 10, NOW_MS)
    assert after_calls(POLICY, down, 0, 0, NOW_MS + 90_000).share == pytest.approx(POLICY.least + 0.5)


def test_what_is_long_ago_counts_for_less() -> None:
    soon = after_calls(POLICY, after_calls(POLICY, WELL, 100, 0, NOW_MS), 100, 50, NOW_MS)
    late = after_calls(POLICY, after_calls(POLICY, WELL, 100, 0, NOW_MS), 100, 50, NOW_MS + 20_000)
    assert late.share < soon.share


def test_a_clock_that_is_set_back_changes_nothing_of_the_past() -> None:
    down = after_calls(POLICY, WELL, 10, 10, NOW_MS)
    assert after_calls(POLICY, down, 0, 0, NOW_MS - 60_000) == down


# the store


def test_all_processes_see_what_one_saw(client: Redis, clock: StandingClock) -> None:
    one, other = health_of(client, clock), health_of(client, clock)
    report(one, 10, 10)
    assert one.shares(["a", "b"])["a"] < 0.02
    assert other.shares(["a"])["a"] < 0.02
    assert other.shares(["b"]) == {"b": 1.0}


def test_what_few_calls_each_say_is_added_up(client: Redis, clock: StandingClock) -> None:
    several = [health_of(client, clock) for _ in range(4)]
    for one in several:
        report(one, 1, 1)
        one.shares(["a"])
    assert several[0].shares(["a"])["a"] < 0.02


def test_without_redis_a_process_goes_by_what_it_saw_itself(redis_server: RedisServer, clock: StandingClock) -> None:
    away = make_client("redis://127.0.0.1:1/0", timeout_s=0.2)
    health = health_of(away, clock)
    report(health, 10, 10)
    assert health.shares(["a", "b"]) == {"a": POLICY.least, "b": 1.0}
    health.report("a", is_bad=False)
    clock.now += 30_000
    assert health.shares(["a"])["a"] == pytest.approx(POLICY.least + 0.5)
    away.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_the_script_says_what_the_rule_says(client: Redis, steps: list[tuple[int, int, int]]) -> None:
    client.delete("health:a")
    script = RedisProviderHealth(client, POLICY)._script
    now, health = NOW_MS, WELL
    numbers = (POLICY.half_life_s, POLICY.least_calls, POLICY.most_bad, POLICY.least, POLICY.back_s)
    for passed_ms, calls, most in steps:
        now += passed_ms
        bad = min(most, calls)
        found = float(script(keys=["health:a"], args=[now, calls, bad, *numbers]))
        expected = after_calls(POLICY, health, calls, bad, now)
        assert found == pytest.approx(expected.share)
        if calls:
            health = expected
