"""Breakers as several processes see them, with Redis there and away."""

from __future__ import annotations

import threading

import pytest
from redis import Redis

from app.domain.breaker import CLOSED, BreakerPolicy
from app.domain.ports import BreakerState
from infrastructure.redis import breakers as breakers_module
from infrastructure.redis.breakers import RedisBreakers
from infrastructure.redis.client import make_client
from tests.support.redis_server import RedisServer
from tests.support.standing_clock import StandingClock

POLICY = BreakerPolicy(failures=5, open_s=3.0, cap_s=15.0)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def one(client: Redis, clock: StandingClock) -> RedisBreakers:
    return RedisBreakers(client, POLICY, clock)


@pytest.fixture
def other(client: Redis, clock: StandingClock) -> RedisBreakers:
    """Another process's."""
    return RedisBreakers(client, POLICY, clock)


def fail(breakers: RedisBreakers, times: int, key: str = "smtp") -> None:
    for _ in range(times):
        breakers.report(key, is_success=False)


def test_failures_in_a_row_open_it_for_all_processes(
    one: RedisBreakers, other: RedisBreakers, clock: StandingClock
) -> None:
    assert other.state("smtp") == CLOSED
    fail(one, 4)
    one.report("smtp", is_success=True)
    fail(one, 4)
    assert one.state("smtp") == CLOSED
    fail(one, 1)
    opened = BreakerState(open_until_ms=clock.now + 3000, level=1)
    assert one.state("smtp") == opened
    clock.now += 249
    assert other.state("smtp") == CLOSED, "cached"
    clock.now += 1
    assert other.state("smtp") == opened


def test_two_time_outs_open_it(one: RedisBreakers) -> None:
    one.report("smtp", is_success=False, weight=3)
    assert one.state("smtp") == CLOSED
    one.report("smtp", is_success=False, weight=3)
    assert one.state("smtp").level == 1


def test_half_open_a_success_closes_it_for_all(
    one: RedisBreakers, other: RedisBreakers, client: Redis, clock: StandingClock
) -> None:
    fail(one, 5)
    clock.now += 2999
    other.report("smtp", is_success=True)
    assert one.state("smtp").level == 1, "the end of an older call"
    clock.now += 1
    other.report("smtp", is_success=True)
    assert client.get("breaker:smtp") is None
    clock.now += 250
    assert one.state("smtp") == CLOSED
    fail(one, 4)
    assert one.state("smtp") == CLOSED, "a new row of failures begins"


def test_half_open_a_failure_anywhere_opens_it_for_twice_as_long(
    one: RedisBreakers, other: RedisBreakers, clock: StandingClock
) -> None:
    fail(one, 5)
    clock.now += 3000
    fail(other, 1)
    assert other.state("smtp") == BreakerState(open_until_ms=clock.now + 6000, level=2)
    fail(one, 5)  # of calls that began before; they neither prolong it nor count later
    assert one.state("smtp") == other.state("smtp")


def test_failures_from_before_it_opened_elsewhere_do_not_count_after(
    one: RedisBreakers, other: RedisBreakers, clock: StandingClock
) -> None:
    fail(one, 4)
    fail(other, 5)
    clock.now += 250
    assert one.state("smtp").level == 1
    clock.now += 2750
    other.report("smtp", is_success=True)
    clock.now += 250
    fail(one, 4)
    assert one.state("smtp") == CLOSED


def test_many_are_read_in_one_call(one: RedisBreakers, other: RedisBreakers, client: Redis) -> None:
    fail(one, 5, "a")
    fail(one, 5, "b")
    before = client.info("commandstats")["cmdstat_mget"]["calls"]
    states = other.states(["a", "b", "c", "a"])
    assert {key: state.level for key, state in states.items()} == {"a": 1, "b": 1, "c": 0}
    assert other.states(["a", "b", "c"]) == states
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == before + 1
    assert other.states([]) == {}


def test_it_is_remembered_while_half_open_but_not_for_ever(one: RedisBreakers, client: Redis) -> None:
    fail(one, 5)
    assert 3000 < client.pttl("breaker:smtp") <= 3000 + breakers_module.REMEMBER_MS


def test_a_value_that_is_none_of_ours_counts_as_closed(one: RedisBreakers, client: Redis) -> None:
    client.set("breaker:smtp", "gibberish")
    assert one.state("smtp") == CLOSED


def test_with_redis_away_each_process_goes_by_what_it_saw(
    own_redis: RedisServer, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers_module, "STORE_PAUSE_MS", 0)
    client = make_client(own_redis.url(), timeout_s=1.0)
    one, other = RedisBreakers(client, POLICY, clock), RedisBreakers(client, POLICY, clock)
    fail(one, 4)
    own_redis.stop()
    fail(one, 1)
    assert one.state("smtp") == BreakerState(open_until_ms=clock.now + 3000, level=1)
    assert other.state("smtp") == CLOSED
    clock.now += 3000
    fail(one, 1)
    assert one.state("smtp").level == 2
    clock.now += 6000
    one.report("smtp", is_success=True)
    assert one.state("smtp") == CLOSED
    own_redis.start()
    fail(one, 5)
    clock.now += 250
    assert other.state("smtp").level == 1, "shared again"
    client.close()


def test_a_redis_that_failed_is_left_alone_for_a_while(
    own_redis: RedisServer, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers_module, "STORE_PAUSE_MS", 60_000)
    client = make_client(own_redis.url(), timeout_s=1.0)
    one = RedisBreakers(client, POLICY, clock)
    own_redis.stop()
    assert one.state("smtp") == CLOSED
    own_redis.start()
    client.set("breaker:smtp", f"{clock.now + 1000}:1")
    clock.now += 250
    assert one.state("smtp") == CLOSED
    client.close()


def test_threads_may_report_at_once(one: RedisBreakers, clock: StandingClock) -> None:
    threads = [threading.Thread(target=fail, args=(one, 20, f"host-{number % 3}")) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key: state.level for key, state in one.states(f"host-{n}" for n in range(3)).items()} == {
        "host-0": 1,
        "host-1": 1,
        "host-2": 1,
    }


def test_what_is_known_of_hosts_without_trouble_is_forgotten(
    one: RedisBreakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers_module, "_MANY", 20)
    fail(one, 5, "bad")
    for number in range(100):
        one.state(f"host-{number}")
    assert len(one._known) <= 21
    assert one.state("bad").level == 1


def test_of_hosts_with_trouble_the_latest_are_remembered(
    one: RedisBreakers, other: RedisBreakers, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers_module, "_MANY", 20)
    fail(one, 5, "bad")
    for number in range(100):
        clock.now += 1
        fail(one, 4, f"host-{number}")
        assert len(one._known) <= 20
    fail(one, 1, "host-99")
    assert one.state("host-99").level == 1, "its failures are counted on"
    assert one.state("bad") == other.state("bad") != CLOSED, "Redis knows"


def test_making_room_does_not_touch_what_is_asked_for(
    one: RedisBreakers, other: RedisBreakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers_module, "_MANY", 20)
    fail(other, 5, "bad")
    one.states(f"host-{number}" for number in range(19))
    assert one.states(["bad", "host-20", "host-21"])["bad"].level == 1
