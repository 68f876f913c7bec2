"""When a breaker opens and closes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.breaker import CLOSED, BreakerPolicy
from app.domain.ports import BreakerState

NOW = 1_700_000_000_000
POLICY = BreakerPolicy(failures=5, open_s=3.0, cap_s=15.0)


def test_it_opens_at_the_fifth_point_in_a_row() -> None:
    assert POLICY.after_failure(CLOSED, 4, NOW) == CLOSED
    assert POLICY.after_failure(CLOSED, 5, NOW) == BreakerState(open_until_ms=NOW + 3000, level=1)
    assert POLICY.after_failure(CLOSED, 6, NOW) == BreakerState(open_until_ms=NOW + 3000, level=1)


def test_half_open_one_failure_opens_it_again_for_twice_as_long_up_to_the_cap() -> None:
    state, pauses = POLICY.after_failure(CLOSED, 5, NOW), []
    for _ in range(5):
        at = state.open_until_ms
        state = POLICY.after_failure(state, 1, at)
        pauses.append(state.open_until_ms - at)
    assert pauses == [6000, 12000, 15000, 15000, 15000]


def test_half_open_one_success_closes_it() -> None:
    state = BreakerState(open_until_ms=NOW, level=4)
    assert POLICY.after_success(state, NOW) == CLOSED


@given(st.integers(1, 15_000), st.integers(1, 10**6), st.integers(1, 100))
def test_while_it_is_open_the_end_of_older_calls_changes_nothing(left_ms: int, points: int, level: int) -> None:
    state = BreakerState(open_until_ms=NOW + left_ms, level=level)
    assert POLICY.after_failure(state, points, NOW) == state
    assert POLICY.after_success(state, NOW) == state


@given(st.integers(0, 10**9))
def test_no_level_overflows_or_pauses_beyond_the_cap(level: int) -> None:
    state = POLICY.after_failure(BreakerState(open_until_ms=NOW, level=level), 1, NOW)
    assert NOW < state.open_until_ms <= NOW + 15_000
