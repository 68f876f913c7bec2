"""Port RequestLimits: the same numbers from Redis and from one process alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.domain.errors import StoreUnavailableError
from app.domain.ports import Allowance
from app.domain.rate import parse_rate
from app.domain.request_limits import LocalRequestLimits
from infrastructure.redis.client import make_client
from infrastructure.redis.request_limits import RedisRequestLimits
from tests.support.redis_server import RedisServer

Ask = Callable[[str, str, float], Allowance]
START_US = 1_732_270_000_000_000


@pytest.fixture(params=["redis", "local"])
def ask(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Ask]:
    """Ask for one request of (key, rate) at a time in seconds."""
    now = [0]
    local = LocalRequestLimits(lambda: now[0])
    client = make_client(redis_server.url(), 2.0)
    shared = RedisRequestLimits(client)

    def asked(key_id: str, rate: str, at_s: float) -> Allowance:
        now[0] = START_US + round(at_s * 1_000_000)
        if request.param == "local":
            return local.ask(key_id, parse_rate(rate))
        return shared.ask(key_id, parse_rate(rate), now_us=now[0])

    yield asked
    client.close()


def test_a_burst_is_granted_and_what_is_left_is_told(ask: Ask) -> None:
    assert [ask("a", "3/60s", 0.0) for _ in range(4)] == [
        Allowance(is_granted=True, remaining=2, wait_s=20.0),
        Allowance(is_granted=True, remaining=1, wait_s=40.0),
        Allowance(is_granted=True, remaining=0, wait_s=20.0),
        Allowance(is_granted=False, remaining=0, wait_s=20.0),
    ]


def test_after_the_wait_that_was_told_exactly_one_more_goes(ask: Ask) -> None:
    for _ in range(3):
        ask("a", "3/60s", 0.0)
    assert not ask("a", "3/60s", 19.999).is_granted
    assert ask("a", "3/60s", 20.0).is_granted
    assert not ask("a", "3/60s", 20.0).is_granted


def test_what_was_refused_costs_nothing(ask: Ask) -> None:
    ask("a", "1/10s", 0.0)
    for at_s in range(1, 10):
        assert not ask("a", "1/10s", at_s).is_granted
    assert ask("a", "1/10s", 10.0).is_granted


def test_keys_and_rates_are_apart(ask: Ask) -> None:
    assert ask("a", "1/m", 0.0).is_granted
    assert ask("b", "1/m", 0.0).is_granted
    assert ask("a", "1/h", 0.0).is_granted
    assert not ask("a", "1/m", 0.0).is_granted


def test_a_limit_long_unused_is_whole_again(ask: Ask) -> None:
    for _ in range(5):
        ask("a", "5/s", 0.0)
    assert ask("a", "5/s", 3600.0) == Allowance(is_granted=True, remaining=4, wait_s=0.2)


def test_redis_forgets_a_limit_that_means_nothing_any_more(redis_server: RedisServer) -> None:
    client = make_client(redis_server.url(), 2.0)
    RedisRequestLimits(client).ask("a", parse_rate("1/2s"))
    [key] = client.keys("*")
    assert 2000 < client.pttl(key) <= 3000
    client.close()


def test_redis_away_is_told(own_redis: RedisServer) -> None:
    client = make_client(own_redis.url(), 2.0)
    own_redis.stop()
    with pytest.raises(StoreUnavailableError):
        RedisRequestLimits(client).ask("a", parse_rate("1/s"))
    client.close()
