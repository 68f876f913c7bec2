"""What is told of limits is what asking them then gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.limit_rules import LaneLimitTable, UserRates, keys_of, lane_limits, user_rates
from app.domain.local_limits import LocalLimits
from app.domain.ports import UserCharge
from app.domain.rate import Rate
from app.domain.rfc3339 import rfc3339
from app.explain.limit_run import LimitRun

NOW_US = 1_700_000_000_000_000
QUEUE = "low.email"
rates = st.builds(Rate, st.integers(1, 500), st.sampled_from([1, 60, 3600]), st.integers(1, 100))
users = st.builds(user_rates, st.none() | rates, st.just({}) | st.builds(lambda rate: {"email": rate}, rates))
lanes = st.builds(
    lane_limits,
    everything=st.none() | rates,
    channel=st.just({}) | st.builds(lambda rate: {"email": rate}, rates),
    priority=st.just({}) | st.builds(lambda rate: {"low": rate}, rates),
    share_high=st.sampled_from([0, 0.2]),
    share_low=st.sampled_from([0, 0.1]),
)


def charge(number: int = 0) -> UserCharge:
    return UserCharge(delivery_id=f"d{number}", user_id="a:b", channel="email", expires_at_ms=0, may_park=False)


@given(lanes=lanes, asked=st.lists(st.tuples(st.sampled_from([QUEUE, "high.email"]), st.integers(1, 40)), max_size=6))
def test_what_is_left_for_a_lane_is_what_it_is_granted(lanes: LaneLimitTable, asked: list[tuple[str, int]]) -> None:
    none = user_rates(None, {})
    limits = LocalLimits(lanes, none, lambda: NOW_US)
    for queue, wanted in asked:
        limits.ask(queue, wanted)
    keys = keys_of((), lanes[QUEUE])
    run = LimitRun(limits.peek(keys), none, lanes)
    states = run.lane_states(QUEUE)
    held_until_ms = run.ask(QUEUE)
    pace = limits.ask(QUEUE, 10**6)
    assert pace.granted == min((one.left for one in states), default=10**6)
    assert bool(held_until_ms) == (pace.granted == 0)
    if held_until_ms:
        assert max(one.next_at for one in states if one.next_at) == rfc3339(held_until_ms)


@given(users=users, charged=st.integers(0, 120))
def test_what_is_left_for_a_user_may_go_now_and_no_more(users: UserRates, charged: int) -> None:
    limits = LocalLimits({}, users, lambda: NOW_US)
    limits.charge([charge(number) for number in range(charged)], owner="o")
    keys = keys_of(users.limits("a:b", "email"), ())
    states = LimitRun(limits.peek(keys), users, {}).user_states("a:b", "email")
    left = min((one.left for one in states), default=None)
    if left is not None:
        answers = limits.charge([charge(number) for number in range(left + 1)], owner="o")
        assert [answer.is_refused for answer in answers] == [False] * left + [True]
        assert all((one.next_at is None) == bool(one.left) for one in states)


def test_limits_are_named_by_what_they_are_about() -> None:
    users = user_rates(Rate(4, 3600, 4), {"email": Rate(2, 3600, 2)})
    lanes = lane_limits(
        everything=Rate(9, 1, 9),
        channel={"email": Rate(5, 1, 5)},
        priority={"low": Rate(3, 1, 3)},
        share_high=0.2,
        share_low=0.1,
    )
    keys = keys_of(users.limits("a:b", "email"), lanes[QUEUE])
    run = LimitRun(LocalLimits(lanes, users, lambda: NOW_US).peek(keys), users, lanes)
    assert [(one.limit, one.rate) for one in run.user_states("a:b", "email")] == [
        ("user", "4/3600s:4"),
        ("user and email", "2/3600s:2"),
    ]
    assert [(one.limit, one.rate) for one in run.lane_states(QUEUE)] == [
        ("all lanes", "9/1s:9"),
        ("email lanes", "5/1s:5"),
        ("low lanes", "3/1s:3"),
    ]
