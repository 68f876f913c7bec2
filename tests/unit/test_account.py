"""The account of the fault tests: what it forgives, and what it does not."""

from __future__ import annotations

import pytest

from tests.support.account import ANSWERED_S, UNDER_WAY_S, Window, is_explained, percentile

FAULT = Window(100.0, 104.0)


@pytest.mark.parametrize("at_s", [100.0 - ANSWERED_S, 102.0, 104.0])
def test_a_yes_to_a_call_that_was_cut_off_may_be_repeated(at_s: float) -> None:
    assert is_explained([at_s, 110.0], [FAULT])


@pytest.mark.parametrize("at_s", [100.0 - ANSWERED_S - UNDER_WAY_S - 0.01, 104.0 + UNDER_WAY_S + 0.01])
def test_any_other_yes_may_not(at_s: float) -> None:
    assert not is_explained([at_s, 110.0], [FAULT])


def test_the_repetition_may_not_be_repeated() -> None:
    assert not is_explained([102.0, 110.0, 120.0], [FAULT])


def test_a_call_that_went_on_after_its_worker_had_stood_may_repeat_another() -> None:
    assert is_explained([90.0, 102.0], [FAULT])


def test_without_a_fault_that_cuts_calls_off_nothing_may_be_repeated() -> None:
    assert not is_explained([102.0, 103.0], [])


@pytest.mark.parametrize(("count", "expected"), [(1, 1.0), (20, 19.0), (100, 95.0), (101, 96.0)])
def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed(count: int, expected: float) -> None:
    assert percentile([float(number) for number in range(1, count + 1)], 0.95) == expected
