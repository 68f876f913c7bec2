"""Providers' own rates over several processes: each with a client of its own on a real Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping

import pytest
from redis import Redis

from app.domain.lane import Lane, Priority
from app.domain.limit_rules import Shares
from app.domain.rate import Rate, parse_rate
from infrastructure.redis.client import make_client
from infrastructure.redis.provider_rates import RedisProviderRates
from tests.support.redis_server import RedisServer

HIGH, LOW = Lane(Priority.HIGH, "sms"), Lane(Priority.LOW, "sms")
ALL_FOR_ANYBODY = Shares(high=0.0, low=0.0)
FOUR: Mapping[str, int] = {HIGH.queue: 4, LOW.queue: 4}


def rates_of(client: Redis, shares: Shares = ALL_FOR_ANYBODY) -> RedisProviderRates:
    return RedisProviderRates(client, shares, lambda: FOUR)


@pytest.fixture
def clients(redis_server: RedisServer) -> Iterator[list[Redis]]:
    """Those of two processes."""
    made = [make_client(redis_server.url(), timeout_s=5.0) for _ in range(2)]
    yield made
    for one in made:
        one.close()


def calls_of(rates: RedisProviderRates, rate: Rate, lane: Lane, until_s: float, call_s: float) -> list[float]:
    """The times at which calls were made, of a process that calls whenever it may."""
    made: list[float] = []
    while time.monotonic() < until_s:
        wait_s = rates.take("gateway", rate, lane, 50)
        if wait_s:
            time.sleep(min(wait_s, 0.05))
        else:
            made.append(time.monotonic())
            time.sleep(call_s)
    return made


def together(several: list[RedisProviderRates], rate: Rate, for_s: float, call_s: float) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in several]

    def run(place: int) -> None:
        found[place] = calls_of(several[place], rate, LOW, until_s, call_s)

    until_s = time.monotonic() + for_s
    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(several))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return found


@pytest.mark.parametrize("call_s", [0.0, 0.004], ids=["as fast as they can", "as calls take"])
@pytest.mark.parametrize("text", ["200/s:40", "50/s:5", "20/s:1"])
def test_two_processes_call_no_more_than_the_rate_and_its_burst(clients: list[Redis], text: str, call_s: float) -> None:
    rate = parse_rate(text)
    found = together([rates_of(one) for one in clients], rate, 1.5, call_s)
    times = sorted(at for of_one in found for at in of_one)
    for first, at in enumerate(times):
        for last in range(first, len(times)):
            may = (times[last] - at) * rate.count / rate.period_s + rate.burst
            # one more of each: the time is noted a moment after the call was taken, and that moment may be long
            assert last - first + 1 <= may + len(found), f"{last - first + 1} calls in {times[last] - at:.3f} s"
    assert len(times) >= rate.burst // 2, "and it is used"


def test_what_is_used_fast_is_taken_several_at_a_time(client: Redis) -> None:
    rates, before = rates_of(client), _commands(client)
    assert [rates.take("gateway", parse_rate("1000/s"), LOW, 500) for _ in range(300)] == [0.0] * 300
    assert _commands(client) - before < 40


def test_what_was_taken_ahead_and_not_used_in_time_is_lost(client: Redis) -> None:
    """Used later it would come on top of what the rate allows by then."""
    now_s = 1000.0
    rate = parse_rate("1000/s")
    rates = RedisProviderRates(client, ALL_FOR_ANYBODY, lambda: FOUR, lambda: now_s)
    for _ in range(4):  # one, two at a time, four: three of them are left
        rates.take("gateway", rate, LOW, 500)
    before = _commands(client)
    rates.take("gateway", rate, LOW, 500)
    assert _commands(client) - before == 1, "the counting"
    now_s += 0.1
    rates.take("gateway", rate, LOW, 500)
    assert _commands(client) - before > 2


def test_one_alone_takes_one(client: Redis) -> None:
    rate = parse_rate("1/h:2")
    one, other = rates_of(client), rates_of(client)
    assert one.take("gateway", rate, LOW, 1) == 0.0
    assert other.take("gateway", rate, LOW, 1) == 0.0
    assert 3500 < one.take("gateway", rate, LOW, 1) <= 3600


def test_while_there_is_no_room_nobody_is_asked(client: Redis) -> None:
    rates, rate = rates_of(client), parse_rate("1/h:1")
    rates.take("gateway", rate, LOW, 100)
    rates.take("gateway", rate, LOW, 100)
    before = _commands(client)
    assert all(rates.take("gateway", rate, LOW, 100) > 3500 for _ in range(100))
    assert _commands(client) - before == 1, "that is the counting itself"


def test_low_does_not_take_what_is_set_aside_for_high(client: Redis) -> None:
    rates, rate = rates_of(client, Shares(high=0.2, low=0.1)), parse_rate("10/h:10")
    while not rates.take("gateway", rate, LOW, 1):
        pass
    assert rates.take("gateway", rate, HIGH, 1) == 0.0


def test_with_redis_away_each_keeps_to_its_share(own_redis: RedisServer) -> None:
    client = make_client(own_redis.url(), timeout_s=0.5)
    rates, rate = rates_of(client), parse_rate("80/h")
    assert rates.take("gateway", rate, HIGH, 1) == 0.0, "and it is seen that there are four"
    own_redis.stop()
    taken = 0
    while not rates.take("gateway", rate, HIGH, 1):
        taken += 1
    assert taken == 20
    client.close()


def test_one_that_never_saw_redis_goes_by_the_whole_rate() -> None:
    client = make_client("redis://127.0.0.1:1/0", timeout_s=0.2)
    rates, rate = rates_of(client), parse_rate("3/h")
    assert [bool(rates.take("gateway", rate, HIGH, 1)) for _ in range(4)] == [False, False, False, True]
    client.close()


def test_when_redis_is_back_it_is_asked_again(own_redis: RedisServer) -> None:
    now_s = 1000.0
    client = make_client(own_redis.url(), timeout_s=0.5)
    rates, rate = RedisProviderRates(client, ALL_FOR_ANYBODY, lambda: FOUR, lambda: now_s), parse_rate("2/h")
    own_redis.stop()
    assert rates.take("gateway", rate, HIGH, 1) == 0.0
    own_redis.start()
    now_s += 3
    assert rates.take("gateway", rate, HIGH, 1) == 0.0
    assert client.keys("limit:provider:gateway:*")
    client.close()


def _commands(client: Redis) -> int:
    found = client.info("stats")
    return int(found["total_commands_processed"])
