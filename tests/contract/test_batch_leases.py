"""Leases of batches on Redis: the bound holds over all dispatchers, and nobody's death takes a place for ever."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.domain.channel import may_go_out
from app.domain.lane import LANES, Lane, Priority
from bridges.dispatch.channel_bound import ChannelBound, Traffic
from infrastructure.redis.batch_leases import TURN_MS, RedisBatchLeases

HIGH, MEDIUM, LOW = (Lane(priority, "email") for priority in Priority)
NAME_MS, LIFE_MS = 1_700_000_000_000, 20_000
PARTITIONS = 6


@pytest.fixture
def leases(client: Redis) -> RedisBatchLeases:
    return RedisBatchLeases(client)


def take(
    leases: RedisBatchLeases,
    lane: Lane,
    partition: int = 0,
    bound: int = 3,
    *,
    others_wait: bool = False,
    name_ms: int = NAME_MS,
    life_ms: int = LIFE_MS,
) -> bool:
    return leases.take(lane, partition, not_after_ms=name_ms, life_ms=life_ms, bound=bound, others_wait=others_wait)


def forget_turns(client: Redis) -> None:
    client.delete("out:email:turn:high", "out:email:turn:others")


def test_a_place_is_taken_renewed_and_given_back(client: Redis, leases: RedisBatchLeases) -> None:
    assert [take(leases, HIGH, one) for one in range(4)] == [True, True, True, False]
    assert take(leases, HIGH, 1), "its own is renewed"
    leases.give_back(HIGH, 0, not_after_ms=NAME_MS)
    assert take(leases, HIGH, 3)
    leases.give_back(HIGH, 5, not_after_ms=NAME_MS)
    assert not take(leases, HIGH, 0), "what was not there frees nothing"


def test_news_of_an_earlier_copy_does_not_end_the_lease_of_a_later_one(leases: RedisBatchLeases) -> None:
    assert take(leases, HIGH, bound=1, name_ms=NAME_MS + 5)
    leases.give_back(HIGH, 0, not_after_ms=NAME_MS)
    assert not take(leases, HIGH, 1, bound=1)
    leases.give_back(HIGH, 0, not_after_ms=NAME_MS + 5)
    assert take(leases, HIGH, 1, bound=1)


def test_channels_have_places_of_their_own(leases: RedisBatchLeases) -> None:
    assert take(leases, HIGH, bound=1)
    assert take(leases, Lane(Priority.HIGH, "webhook"), bound=1)


def test_a_place_ends_by_itself(client: Redis, leases: RedisBatchLeases) -> None:
    assert take(leases, LOW, bound=1, life_ms=300)
    assert not take(leases, LOW, 1, bound=1)
    deadline = time.monotonic() + 5
    while not take(leases, LOW, 1, bound=1):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    left_ms = client.pttl("out:email")
    assert isinstance(left_ms, int)
    assert LIFE_MS < left_ms <= LIFE_MS + 60_000, "nothing stays in Redis"


# turns


def test_who_was_refused_comes_before_who_had_a_place(leases: RedisBatchLeases) -> None:
    """Else a dispatcher with a backlog took each place again as it gave it back, and another never got one."""
    assert take(leases, HIGH, 0, bound=1)
    assert not take(leases, HIGH, 1, bound=1)
    leases.give_back(HIGH, 0, not_after_ms=NAME_MS)
    assert not take(leases, HIGH, 0, bound=1, name_ms=NAME_MS + 1)
    assert take(leases, HIGH, 1, bound=1)
    leases.give_back(HIGH, 1, not_after_ms=NAME_MS)
    assert take(leases, HIGH, 0, bound=1, name_ms=NAME_MS + 1)


def test_a_turn_is_kept_only_while_it_is_asked_for(leases: RedisBatchLeases) -> None:
    assert take(leases, HIGH, 0, bound=1)
    assert not take(leases, HIGH, 1, bound=1)
    leases.give_back(HIGH, 0, not_after_ms=NAME_MS)
    deadline = time.monotonic() + 5
    while not take(leases, HIGH, 2, bound=1):
        assert time.monotonic() < deadline
        time.sleep(TURN_MS / 10_000)


def test_low_of_one_dispatcher_gets_the_place_that_high_of_another_would_keep(leases: RedisBatchLeases) -> None:
    assert take(leases, HIGH, 0, bound=2)
    assert take(leases, HIGH, 1, bound=2)
    assert not take(leases, LOW, 0, bound=2)
    leases.give_back(HIGH, 0, not_after_ms=NAME_MS)
    assert not take(leases, HIGH, 0, bound=2, name_ms=NAME_MS + 1), "it knows nothing of low, and is told"
    assert take(leases, LOW, 0, bound=2)


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
        forget_turns(client)
        place = (lane, partition)
        if what == "give back":
            leases.give_back(lane, partition, not_after_ms=NAME_MS)
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
    for _ in range(3):
        for partition in range(PARTITIONS):
            for lane in (LOW, HIGH, MEDIUM):
                bound, out = bounds[partition % 2], outs[partition % 2]
                traffic = Traffic(out, frozenset({"email"}))
                given_ = {"not_after_ms": NAME_MS, "life_ms": LIFE_MS, "traffic": traffic, "share": 0.5}
                is_out = client.hexists("out:email", f"{lane.priority}|{lane.topic}|{partition}")
                if not is_out and bound.has_place(lane, traffic) and bound.enter(lane, partition, **given_):  # type: ignore[arg-type]
                    out[lane] += 1
    out = outs[0] + outs[1]
    assert out.total() == count - 1
    assert out[HIGH] >= 1
    assert out[LOW] + out[MEDIUM] == max(1, (count - 1) // 2)
