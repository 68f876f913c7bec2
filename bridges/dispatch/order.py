"""In which order partitions are served: high first, and among the others nobody for ever last.

Stride scheduling (Waldspurger and Weihl, 1995): each batch moves its partition on by its stride, and the one that is
furthest behind comes next. One that had nothing to send for a while is owed nothing for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from app.domain.lane import Lane, Priority

T = TypeVar("T")
Place = tuple[Lane, int]

#: Where both always have something to send, a partition of medium has so many batches for one of low.
STRIDE_LOW = 8


class Order:
    """Who is next, by what was served; a place is a lane and a partition. Channels do not count for each other."""

    def __init__(self) -> None:
        self._reached: dict[Place, int] = {}
        self._now = Counter[tuple[bool, str]]()
        self._turns = 0
        self._turn: dict[Place, int] = {}

    def served(self, lane: Lane, partition: int) -> None:
        """A batch of it went out."""
        position = max(self._reached.get((lane, partition), 0), self._now[_class(lane)])
        self._now[_class(lane)] = position
        self._reached[lane, partition] = position + (STRIDE_LOW if lane.priority is Priority.LOW else 1)
        self._turns += 1
        self._turn[lane, partition] = self._turns

    def sort(self, what: Iterable[T], place: Callable[[T], Place]) -> list[T]:
        """In order."""
        return sorted(what, key=lambda one: self._key(*place(one)))

    def _key(self, lane: Lane, partition: int) -> tuple[bool, int, int, int]:
        ahead = max(0, self._reached.get((lane, partition), 0) - self._now[_class(lane)])
        turn = self._turn.get((lane, partition), 0)
        return lane.priority is not Priority.HIGH, ahead, lane.priority.rank, turn


def _class(lane: Lane) -> tuple[bool, str]:
    """Those that are measured against each other."""
    return lane.priority is Priority.HIGH, lane.channel
