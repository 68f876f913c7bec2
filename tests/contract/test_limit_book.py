"""The book of limits on Redis and in one process: what was taken is read, and nothing is taken by reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from redis import Redis

from app.domain.errors import StoreUnavailableError
from app.domain.limit_rules import keys_of, lane_limits, user_rates
from app.domain.local_limits import LocalLimits
from app.domain.ports import LimitsSeen, UserCharge
from app.domain.rate import parse_rate, parse_rates
from infrastructure.redis.client import make_client
from infrastructure.redis.lane_limits import RedisLaneLimits
from infrastructure.redis.limit_book import RedisLimitBook
from infrastructure.redis.user_limits import RedisUserLimits
from tests.support.ports import free_port

NOW = 1_700_000_000_000_000  # microseconds
USERS = user_rates(parse_rate("4/h"), parse_rates("email=2/h"))
LANES = lane_limits(
    everything=parse_rate("100/s"), channel={}, priority=parse_rates("low=5/s"), share_high=0.2, share_low=0.1
)
KEYS = keys_of(USERS.limits("anna:b", "email"), LANES["low.email"])


@dataclass(frozen=True)
class Adapter:
    """The book, and what writes in it: one delivery of the user, one of the lane."""

    peek: Callable[[], LimitsSeen]
    charge: Callable[[], object]
    ask: Callable[[], object]


@pytest.fixture(params=["redis", "local"])
def adapter(request: pytest.FixtureRequest, client: Redis) -> Adapter:
    wanted = UserCharge(delivery_id="d", user_id="anna:b", channel="email", expires_at_ms=10**15, may_park=True)
    if request.param == "local":
        local = LocalLimits(LANES, USERS, lambda: NOW)
        return Adapter(
            peek=lambda: local.peek(KEYS),
            charge=lambda: local.charge([wanted], owner="o"),
            ask=lambda: local.ask("low.email", 1),
        )
    users, lanes, book = RedisUserLimits(client, USERS), RedisLaneLimits(client, LANES), RedisLimitBook(client)
    return Adapter(
        peek=lambda: book.peek(KEYS, now_us=NOW),
        charge=lambda: users.charge([wanted], owner="o", now_us=NOW),
        ask=lambda: lanes.ask("low.email", 1, now_us=NOW),
    )


def used(tats: Mapping[str, int]) -> dict[str, int]:
    """Microseconds from now to each TAT, of those that were ever used."""
    return {key: tat - NOW for key, tat in tats.items() if tat}


def test_unused_limits_are_all_there_as_zero(adapter: Adapter) -> None:
    assert adapter.peek() == LimitsSeen(now_us=NOW, tats=dict.fromkeys(KEYS, 0))


def test_what_was_taken_is_read_and_reading_takes_nothing(adapter: Adapter) -> None:
    adapter.charge()
    adapter.ask()
    seen = adapter.peek()
    assert seen == adapter.peek()
    assert used(seen.tats) == {
        "user:anna:b:*:4/3600s:4": 900_000_000,
        "user:anna:b:email:2/3600s:2": 1_800_000_000,
        "lane:all:100/1s:100": 10_000,
        "lane:all:others:10000/1000s:10": 100_000,
        "lane:low:5/1s:5": 200_000,
    }


def test_reading_redis_leaves_it_as_it_is(client: Redis) -> None:
    RedisLimitBook(client).peek(KEYS)
    assert client.keys("*") == []


def test_without_keys_redis_is_asked_for_its_clock_alone(client: Redis) -> None:
    seconds, _ = client.time()
    seen = RedisLimitBook(client).peek([])
    assert seen.tats == {}
    assert 0 <= seen.now_us - seconds * 1_000_000 < 5_000_000


def test_a_redis_that_is_away_is_a_store_that_is_away() -> None:
    away = make_client(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.5)
    with pytest.raises(StoreUnavailableError):
        RedisLimitBook(away).peek([])
