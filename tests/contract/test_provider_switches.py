"""What operators disable, as running workers see it: with each look at a breaker, without a round trip of its own."""

from __future__ import annotations

import pytest
from redis import Redis

from app.domain.breaker import BreakerPolicy
from app.domain.errors import StoreUnavailableError
from app.domain.ports import SwitchedOff
from infrastructure.redis import breakers as breakers_module
from infrastructure.redis.breakers import CACHE_MS, RedisBreakers
from infrastructure.redis.client import make_client
from infrastructure.redis.provider_switches import SWITCHES, RedisProviderSwitches
from tests.support.redis_server import RedisServer
from tests.support.standing_clock import StandingClock

POLICY = BreakerPolicy(failures=5, open_s=3.0, cap_s=15.0)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def switches(client: Redis, clock: StandingClock) -> RedisProviderSwitches:
    return RedisProviderSwitches(client, clock)


@pytest.fixture
def worker(client: Redis, clock: StandingClock) -> RedisBreakers:
    """What a running process knows."""
    made = RedisBreakers(client, POLICY, clock)
    made.state("any")
    return made


def off_after_a_look(worker: RedisBreakers, clock: StandingClock, name: str = "gateway") -> SwitchedOff | None:
    clock.now += CACHE_MS
    worker.state("any")
    return worker.off(name)


def test_a_running_process_sees_it_and_sees_it_go(
    switches: RedisProviderSwitches, worker: RedisBreakers, clock: StandingClock
) -> None:
    off = SwitchedOff(at_ms=clock.now, by="anna", reason="price")
    switches.disable("gateway", off)
    assert worker.off("gateway") is None, "it has not looked yet"
    assert off_after_a_look(worker, clock) == off
    assert worker.off("other") is None
    assert switches.all() == {"gateway": off}
    assert switches.enable("gateway")
    assert off_after_a_look(worker, clock) is None
    assert not switches.enable("gateway")


def test_each_is_switched_by_itself(switches: RedisProviderSwitches, client: Redis, clock: StandingClock) -> None:
    one, other = SwitchedOff(at_ms=clock.now), SwitchedOff(at_ms=clock.now + 1, by="ben")
    switches.disable("one", SwitchedOff(at_ms=1))
    switches.disable("other", other)
    switches.disable("one", one)
    assert switches.all() == {"one": one, "other": other}
    switches.enable("one")
    assert switches.all() == {"other": other}
    switches.enable("other")
    assert client.exists(SWITCHES) == 0


def test_it_ends_by_itself_at_its_time(
    switches: RedisProviderSwitches, worker: RedisBreakers, client: Redis, clock: StandingClock
) -> None:
    switches.disable("gateway", SwitchedOff(at_ms=clock.now, until_ms=clock.now + 1800_000))
    assert off_after_a_look(worker, clock)
    clock.now += 1800_000
    assert worker.off("gateway") is None, "whether it looks or not"
    assert switches.all() == {}
    switches.enable("other")
    assert client.exists(SWITCHES) == 0, "and nothing is left of it"


def test_the_look_is_one_with_that_at_breakers(
    switches: RedisProviderSwitches, worker: RedisBreakers, client: Redis, clock: StandingClock
) -> None:
    switches.disable("gateway", SwitchedOff(at_ms=clock.now))
    clock.now += CACHE_MS
    before = int(client.info("stats")["total_commands_processed"])
    worker.states(["gateway", "other"])
    for _ in range(100):
        worker.state("gateway")
        assert worker.off("gateway")
    assert int(client.info("stats")["total_commands_processed"]) - before == 2, "one, and the counting"


def test_with_redis_away_what_was_known_holds_and_after_a_flush_all_are_enabled(
    own_redis: RedisServer, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers_module, "STORE_PAUSE_MS", 0)
    client = make_client(own_redis.url(), timeout_s=1.0)
    switches, worker = RedisProviderSwitches(client, clock), RedisBreakers(client, POLICY, clock)
    switches.disable("gateway", SwitchedOff(at_ms=clock.now))
    assert off_after_a_look(worker, clock)
    own_redis.stop()
    for _ in range(3):
        assert off_after_a_look(worker, clock)
    with pytest.raises(StoreUnavailableError):
        switches.all()
    with pytest.raises(StoreUnavailableError):
        switches.disable("gateway", SwitchedOff(at_ms=clock.now))
    own_redis.start()  # it keeps no data
    assert off_after_a_look(worker, clock) is None
    client.close()


def test_what_cannot_be_read_changes_nothing(
    switches: RedisProviderSwitches, worker: RedisBreakers, client: Redis, clock: StandingClock
) -> None:
    switches.disable("gateway", SwitchedOff(at_ms=clock.now))
    assert off_after_a_look(worker, clock)
    client.set(SWITCHES, "[1, 2]")
    assert off_after_a_look(worker, clock)
    assert switches.all() == {}
