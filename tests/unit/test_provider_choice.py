"""Which provider a delivery goes to: by weight, the same for everybody, and with little moving."""

from __future__ import annotations

from collections import Counter

import pytest

from app.domain.provider_choice import ranked

IDS = [f"delivery-{number}" for number in range(10_000)]


def firsts(weights: dict[str, float]) -> Counter[str]:
    return Counter(ranked(one, weights)[0] for one in IDS)


def test_each_is_first_for_its_part_of_the_weight() -> None:
    found = firsts({"a": 3.0, "b": 1.0})
    assert found["a"] / len(IDS) == pytest.approx(0.75, abs=0.02)
    assert firsts({"a": 1.0, "b": 1.0, "c": 1.0})["c"] / len(IDS) == pytest.approx(1 / 3, abs=0.02)


def test_the_order_is_everybodys() -> None:
    assert ranked("d", {"a": 1.0, "b": 2.0, "c": 3.0}) == ranked("d", {"c": 3.0, "a": 1.0, "b": 2.0})
    assert sorted(ranked("d", {"a": 1.0, "b": 2.0, "c": 3.0})) == ["a", "b", "c"]


def test_where_one_loses_weight_only_its_own_deliveries_move() -> None:
    before = {one: ranked(one, {"a": 1.0, "b": 1.0})[0] for one in IDS}
    after = {one: ranked(one, {"a": 0.1, "b": 1.0})[0] for one in IDS}
    moved = [one for one in IDS if before[one] != after[one]]
    assert {before[one] for one in moved} == {"a"}


def test_the_least_weight_is_seldom_first() -> None:
    assert 20 < firsts({"a": 0.005, "b": 1.0})["a"] < 90


def test_without_weight_it_is_left_out() -> None:
    assert ranked("d", {"a": 0.0, "b": 1.0}) == ["b"]
    assert ranked("d", {}) == []
