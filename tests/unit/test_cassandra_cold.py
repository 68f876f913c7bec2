"""Which parts are counted ahead."""

from __future__ import annotations

import pytest

pytest.importorskip("cassandra", reason="needs requirements-real.txt")

from infrastructure.cassandra.cold import COLD_S, MOST, ColdParts
from infrastructure.cassandra.standings import OF_HOUR, Part

A, B = Part(OF_HOUR, 0, 1), Part(OF_HOUR, 0, 2)


def test_a_part_is_cold_a_while_after_it_was_last_touched_and_is_told_once() -> None:
    now = [0.0]
    cold = ColdParts(lambda: now[0])
    cold.touch([A, B])
    now[0] = COLD_S - 1
    cold.touch([A])
    assert cold.take() is None
    now[0] = COLD_S
    assert (cold.take(), cold.take()) == (B, None)
    now[0] = 2 * COLD_S
    assert (cold.take(), cold.take()) == (A, None)


def test_the_oldest_are_left_out_where_there_are_too_many() -> None:
    now = [0.0]
    cold = ColdParts(lambda: now[0])
    cold.touch(Part(OF_HOUR, 0, number) for number in range(MOST + 1))
    now[0] = COLD_S
    assert cold.take() == Part(OF_HOUR, 0, 1)
