"""Leases of batches on Redis: the bound holds over all dispatchers, and nobody's death takes a place for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.domain.channel import may_go_out
from app.domain.lane import LANES, Lane, Priority
from bridges.dispatch.channel_bound import ChannelBound, Traffic
from infrastructure.redis.batch_leases import RedisBatchLeases
from infrastructure.redis.client import make_client
from tests.support.redis_server import RedisServer

HIGH, MEDIUM, LOW = (Lane(priority, "email") for priority in Priority)
NOW_MS = 1_700_000_000_000
LIFE_MS = 20_000
PARTITIONS = 6


class Clock:
    """A clock that stands until it is moved, in milliseconds."""

    def __init__(self) -> None:
        self.now = NOW_MS

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    client = make_client(redis_server.url(), timeout_s=5.0)
    yield client
    client.close()


@pytest.fixture
def leases(client: Redis, clock: Clock) -> RedisBatchLeases:
    return RedisBatchLeases(client, clock)


def take(
    leases: RedisBatchLeases, lane: Lane, partition: int = 0, bound: int = 3, *, others_wait: bool = False
) -> bool:
    return leases.take(lane, partition, until_ms=NOW_MS + LIFE_MS, bound=bound, others_wait=others_wait)


def test_a_place_is_taken_renewed_and_given_back(leases: RedisBatchLeases) -> None:
    assert [take(leases, HIGH, one) for one in range(4)] == [True, True, True, False]
    assert take(leases, HIGH, 1), "its own is renewed"
    leases.give_back(HIGH, 0)
    assert take(leases, HIGH, 3)
    leases.give_back(HIGH, 5)
    assert not take(leases, HIGH, 0), "what was not there frees nothing"


def test_channels_have_places_of_their_own(leases: RedisBatchLeases) -> None:
    assert take(leases, HIGH, bound=1)
    assert take(leases, Lane(Priority.HIGH, "webhook"), bound=1)


def test_a_place_ends_by_itself(client: Redis, leases: RedisBatchLeases, clock: Clock) -> None:
    assert take(leases, LOW, bound=1)
    clock.now += LIFE_MS - 1
    assert not take(leases, LOW, 1, bound=1)
    clock.now += 1
    assert leases.take(LOW, 1, until_ms=clock.now + LIFE_MS, bound=1, others_wait=False)
    left_ms = client.pttl("out:email")
    assert isinstance(left_ms, int)
    assert LIFE_MS < left_ms <= LIFE_MS + 60_000, "nothing stays in Redis"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(
            st.sampled_from(["take", "take", "give back"]),
            st.sampled_from([HIGH, MEDIUM, LOW]),
            st.integers(0, PARTITIONS - 1),
            st.booleans(),
        ),
        max_size=25,
    ),
)
def test_the_script_says_what_the_rule_says(
    client: Redis, leases: RedisBatchLeases, bound: int, steps: list[tuple[str, Lane, int, bool]]
) -> None:
    client.delete("out:email")
    out = set[tuple[Lane, int]]()
    for what, lane, partition, others_wait in steps:
        place = (lane, partition)
        if what == "give back":
            leases.give_back(lane, partition)
            out.discard(place)
            continue
        is_high = Counter(one.priority is Priority.HIGH for one, _ in out - {place})
        expected = may_go_out(
            is_high=lane.priority is Priority.HIGH,
            high=is_high[True],
            others=is_high[False],
            bound=bound,
            others_wait=others_wait,
        )
        assert take(leases, lane, partition, bound, others_wait=others_wait) is expected
        if expected:
            out.add(place)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_two_dispatchers_together_leave_a_child_free(client: Redis, count: int) -> None:
    """Each has half of the partitions, and a provider that hangs: nothing comes back."""
    served = {lane.queue: count for lane in LANES}
    bounds = [ChannelBound(RedisBatchLeases(client), lambda: served) for _ in range(2)]
    outs = [Counter[Lane](), Counter[Lane]()]
    until_ms = RedisBatchLeases(client)._clock_ms() + LIFE_MS
    for partition in range(PARTITIONS):
        for lane in (LOW, HIGH, MEDIUM):
            traffic = Traffic(outs[partition % 2], frozenset({"email"}))
            bound = bounds[partition % 2]
            if bound.has_place(lane, traffic) and bound.enter(lane, partition, until_ms, traffic, 0.5):
                outs[partition % 2][lane] += 1
    out = outs[0] + outs[1]
    assert out.total() == count - 1
    assert out[HIGH] >= 1
    assert out[LOW] + out[MEDIUM] == max(1, (count - 1) // 2)
