"""When a failed delivery is tried again."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from app.domain.lane import Priority
from app.domain.retry import FIRST_HIGH_S, RetryPolicy

NOW = 1_700_000_000_000
FAR = NOW + 10**12

policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(1, 5000),
    base_high_s=st.floats(0.01, 100),
    base_s=st.floats(0.01, 100),
    cap_s=st.floats(1, 7200),
)
dice = st.floats(0, 1, exclude_max=True)
priorities = st.sampled_from(Priority)


@given(policies, priorities, st.integers(0, 5100), dice)
def test_waits_double_up_to_the_cap_until_the_budget_is_spent(
    policy: RetryPolicy, priority: Priority, retries: int, die: float
) -> None:
    delay = policy.next_delay_s(priority, retries, lambda: die)
    assert (delay is None) == (retries >= policy.max_retries)
    if delay is not None:
        assert 0 < delay <= policy.cap_s
        base = policy.base_high_s if priority is Priority.HIGH else policy.base_s
        whole = min(policy.cap_s, base * 2.0 ** min(retries, 500))
        if priority is not Priority.HIGH or retries:
            assert whole / 2 <= delay <= whole


@given(policies, dice)
def test_the_first_retry_of_high_comes_within_five_seconds(policy: RetryPolicy, die: float) -> None:
    delay = policy.next_delay_s(Priority.HIGH, 0, lambda: die)
    assert delay is not None
    assert delay <= FIRST_HIGH_S == 5.0


@given(policies, priorities, st.integers(0, 20), st.integers(1, 10_000_000), dice)
def test_a_retry_always_comes_before_the_expiry(
    policy: RetryPolicy, priority: Priority, retries: int, ttl_ms: int, die: float
) -> None:
    until = policy.parked_until_ms(priority, retries, now_ms=NOW, expires_at_ms=NOW + ttl_ms, random=lambda: die)
    unbound = policy.parked_until_ms(priority, retries, now_ms=NOW, expires_at_ms=FAR, random=lambda: die)
    assert until == (unbound if unbound is not None and unbound < NOW + ttl_ms else None)
    assert until is None or NOW < until < NOW + ttl_ms


@given(policies, st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 10**6)), dice)
def test_a_throttling_provider_is_heeded_within_bounds(policy: RetryPolicy, asked_s: float, die: float) -> None:
    until = policy.throttled_until_ms(asked_s, now_ms=NOW, expires_at_ms=FAR, random=lambda: die)
    assert until is not None
    delay_s = (until - NOW) / 1000
    assert 0.999 <= delay_s <= policy.cap_s * 1.1 + 0.001
    if not math.isnan(asked_s) and 1 <= asked_s <= policy.cap_s:
        assert asked_s - 0.001 <= delay_s <= asked_s * 1.1 + 0.001


def test_a_provider_that_asks_to_wait_beyond_the_expiry_ends_it() -> None:
    policy = RetryPolicy(max_retries=3, base_high_s=2, base_s=10, cap_s=1800)
    assert policy.throttled_until_ms(60, now_ms=NOW, expires_at_ms=NOW + 30_000, random=lambda: 0.0) is None
