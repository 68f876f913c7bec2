"""How many batches of a channel may be out: children left free, high and the others."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.channel import may_go_out
from app.domain.errors import StoreUnavailableError
from app.domain.lane import LANES, Lane, Priority
from bridges.dispatch.channel_bound import ChannelBound, Traffic, channel_bound

HIGH, MEDIUM, LOW = (Lane(priority, "email") for priority in Priority)
LOW_WEBHOOK, HIGH_LOG, LOW_LOG = Lane(Priority.LOW, "webhook"), Lane(Priority.HIGH, "log"), Lane(Priority.LOW, "log")
UNTIL_MS, LIFE_MS = 1_020_000, 20_000


def children(**by_priority: int) -> dict[str, int]:
    """As the workers announce it: how many children serve each queue of these priorities."""
    return {lane.queue: by_priority[lane.priority] for lane in LANES if lane.priority in by_priority}


def away(*_: object, **__: object) -> bool:
    raise StoreUnavailableError("redis")


def bound_of(served: Mapping[str, int], take: Any = away, give_back: Any = away) -> ChannelBound:
    leases: Any = SimpleNamespace(take=take, give_back=give_back)
    return ChannelBound(leases, lambda: served)


def enter(bound: ChannelBound, lane: Lane, traffic: Traffic, share: float = 1.0, partition: int = 0) -> bool:
    return bound.enter(lane, partition, not_after_ms=UNTIL_MS, life_ms=LIFE_MS, traffic=traffic, share=share)


def may_send(lane: Lane, out: Mapping[Lane, int], *waiting: str, count: int = 4) -> bool:
    bound = bound_of(children(high=count, medium=count, low=count))
    return bound.has_place(lane, Traffic(out, frozenset(waiting)))


@pytest.mark.parametrize(
    ("served", "bound"),
    [
        (children(high=4, medium=4, low=4), 3),
        (children(high=4, medium=3, low=3), 2),
        (children(high=9), 8),
        (children(high=1, medium=1, low=1), 1),
        ({}, 1),
        (children(high=4, low=0), 3),
    ],
    ids=["one is free", "the fewest", "one lane", "never none", "nobody", "not served"],
)
def test_a_channel_leaves_one_of_its_children_free(served: dict[str, int], bound: int) -> None:
    assert channel_bound(served, "email") == bound


def test_children_of_other_channels_do_not_count() -> None:
    assert channel_bound({"high.webhook": 9, "high.email": 3}, "email") == 2


def test_high_may_have_all_but_one_child_of_its_channel() -> None:
    assert may_send(HIGH, {HIGH: 2})
    assert not may_send(HIGH, {HIGH: 3})
    assert not may_send(HIGH, {HIGH: 2, LOW: 1}), "over all its lanes"
    assert may_send(HIGH, {LOW_WEBHOOK: 9}), "and only its own"


def test_medium_and_low_have_half_of_that() -> None:
    assert may_send(LOW, {LOW: 1}, count=5)
    assert not may_send(LOW, {LOW: 1, MEDIUM: 1}, count=5)
    assert may_send(HIGH, {LOW: 1, MEDIUM: 1}, count=5)
    assert not may_send(LOW, {HIGH: 4}, count=5), "nor what high has taken"


def test_where_the_others_wait_high_leaves_them_one() -> None:
    assert may_send(HIGH, {HIGH: 2})
    assert not may_send(HIGH, {HIGH: 2}, "email"), "else a backlog of high took each place as it came free"
    assert may_send(LOW, {HIGH: 2}, "email")
    assert may_send(HIGH, {HIGH: 2}, "webhook"), "another channel's"
    assert may_send(HIGH, {HIGH: 1, LOW: 1}, "email"), "they have it"


def test_where_there_is_one_place_low_takes_it_from_nobody() -> None:
    assert may_send(LOW, {}, count=1)
    assert not may_send(LOW, {LOW: 1}, count=1)
    assert may_send(HIGH, {LOW: 1}, "email", count=1)


def test_a_channel_that_calls_no_network_has_no_bound() -> None:
    assert may_send(LOW_LOG, {LOW_LOG: 50, HIGH_LOG: 50})
    assert enter(bound_of({}), LOW_LOG, Traffic({}), share=1.0, partition=0), "and asks nobody"
    bound_of({}).leave(LOW_LOG, 0, UNTIL_MS)


@pytest.mark.parametrize(("share", "places"), [(1.0, 8), (0.5, 4), (0.01, 1)])
def test_without_redis_high_goes_by_the_share_of_this_dispatcher(share: float, places: int) -> None:
    bound = bound_of(children(high=9, medium=9, low=9))
    assert enter(bound, HIGH, Traffic({HIGH: places - 1}), share=share, partition=0)
    assert not enter(bound, HIGH, Traffic({HIGH: places}), share=share, partition=0)
    bound.leave(HIGH, 0, UNTIL_MS)


def test_without_redis_the_others_are_told() -> None:
    with pytest.raises(StoreUnavailableError):
        enter(bound_of({}), LOW, Traffic({}), share=1.0, partition=0)


def test_a_lease_is_asked_for_by_the_bound_of_all() -> None:
    asked: list[object] = []

    def take(lane: Lane, partition: int, **rest: object) -> bool:
        asked.append((lane, partition, rest))
        return False

    bound = bound_of(children(high=9, medium=9, low=9), take)
    assert not enter(bound, LOW, Traffic({}, frozenset({"email"})), share=0.5, partition=3)
    assert asked == [(LOW, 3, {"not_after_ms": UNTIL_MS, "life_ms": LIFE_MS, "bound": 8, "others_wait": True})]


def test_everything_out_together_never_exceeds_a_bound_of_two_or_more() -> None:
    for bound in range(2, 9):
        for high in range(bound + 1):
            for others in range(min(bound - high, bound // 2) + 1):
                for is_high in (True, False):
                    may_go = may_go_out(is_high=is_high, high=high, others=others, bound=bound)
                    assert not may_go or high + others < bound


def test_what_could_not_be_given_back_is_given_back_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a place would stand empty until the batch's time is over, when Redis is there again."""
    given: list[tuple[object, ...]] = []
    is_away = [True]

    def give_back(lane: Lane, partition: int, *, not_after_ms: int) -> None:
        if is_away[0]:
            away()
        given.append((lane, partition, not_after_ms))

    bound = bound_of(children(high=9, medium=9, low=9), lambda *_, **__: True, give_back)
    bound.leave(HIGH, 1, UNTIL_MS)
    bound.leave(HIGH, 1, UNTIL_MS + 1)
    assert given == []
    is_away[0] = False
    assert enter(bound, LOW, Traffic({}))
    assert given == [(HIGH, 1, UNTIL_MS + 1)]
    bound.leave(LOW, 0, UNTIL_MS)
    assert given[1:] == [(LOW, 0, UNTIL_MS)]
