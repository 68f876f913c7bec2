"""What `explain` foresees is what router, limits and steps then decide, for whatever event, user and limits."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from redis import Redis

from app.domain.event import Options, To
from app.domain.limit_rules import user_rates
from app.domain.rate import Rate
from app.domain.rfc3339 import rfc3339
from infrastructure.redis.client import make_client
from infrastructure.redis.limit_book import RedisLimitBook
from tests.support.chain import Chain
from tests.support.deliveries import delivery, event
from tests.support.explain_stage import Stage
from tests.support.explained_events import PLAIN, World, worlds
from tests.support.explaining import explainer_of_steps
from tests.support.redis_server import RedisServer


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[Redis]:
    client = make_client(redis_server.url(1), timeout_s=5.0)
    yield client
    client.close()


#: What must be among the verdicts of the worlds, or they would show little.
KINDS = {
    "sent",
    "held lane_limit",
    "suppressed no_address",
    "suppressed channel_not_configured",
    "suppressed preference_off",
    "suppressed muted",
    "suppressed rate_limited_user",
    "parked scheduled",
    "parked quiet_hours",
    "parked rate_limited_user",
    "expired quiet_hours",
    "failed rate_limited_user",
    "failed invalid_address",
    "failed forbidden_address",
    "failed template_error",
}


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("is_local", [False, True], ids=["redis", "local"])
def test_the_verdict_foreseen_is_the_one_that_is_made(chain: Chain, redis_client: Redis, is_local: bool) -> None:
    @many
    @given(world=worlds())
    def agree(world: World) -> None:
        Stage(chain, redis_client, world, is_local=is_local).agree()

    agree()


def test_every_kind_of_verdict_is_among_them(chain: Chain, redis_client: Redis) -> None:
    """Else the test above would show little. The same worlds in every run, for chance may leave a kind out."""
    seen: Counter[str] = Counter()

    @settings(many, derandomize=True, database=None)
    @given(world=worlds())
    def agree(world: World) -> None:
        seen.update(Stage(chain, redis_client, world, is_local=True).agree())

    agree()
    assert set(seen) >= KINDS, seen


@pytest.mark.parametrize("is_local", [False, True], ids=["redis", "local"])
def test_what_its_lane_holds_back_comes_to_the_users_limits_last(
    chain: Chain, redis_client: Redis, is_local: bool
) -> None:
    world = dataclasses.replace(PLAIN, user_rate=Rate(1, 3600, 1), email_rate=Rate(1, 60, 1), asked=["medium.email"])
    kinds = Stage(chain, redis_client, world, is_local=is_local).agree()
    assert sorted(kinds) == ["held lane_limit", "parked rate_limited_user", "sent"]


@pytest.mark.parametrize(("ttl_s", "status"), [(3600, "parked"), (30, "failed")])
def test_an_open_breaker_of_a_host_parks_within_a_second_of_what_is_foreseen(
    chain: Chain, redis_client: Redis, ttl_s: int, status: str
) -> None:
    """Deliveries come back spread over a second, so that the host is not asked by all at once."""
    now_ms = chain.context.now_ms()
    until_ms = now_ms + 60_000
    redis_client.set("breaker:hooks.example:443", f"{until_ms}:1")
    options = Options(channels=("webhook",), ttl_s=ttl_s, to=To(webhook="https://hooks.example/a"))
    book, users = RedisLimitBook(redis_client), user_rates(None, {})
    explained = explainer_of_steps(chain.context, book, users).explain(event(options=options))
    [foreseen] = [one.verdict for one in explained.deliveries]
    ran = chain.run(delivery(channel="webhook", options=options, expires_at_ms=now_ms + ttl_s * 1000))
    assert ran.told == [(foreseen.status, foreseen.reason)] == [(status, "breaker_open")]
    if status == "parked":
        assert foreseen.until == rfc3339(until_ms)
        assert 0 <= ran.verdict.until_at_ms - until_ms < 1000
