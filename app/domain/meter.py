"""Counting and timing: cheap additions in memory, under the names of the metric catalogue.

A process has one meter, as it has one address: whatever runs in it counts there, and who serves `/metrics` reads it
(infrastructure/telemetry). A worker child hands what it has counted to its pool with `take`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left

from msgspec import Struct

from app.domain.metric import Labels, Metric

Key = tuple[str, Labels]


class Counted(Struct, frozen=True, array_like=True):
    """A counter's value, or what was added to it."""

    name: str
    labels: Labels
    value: float


class Timed(Struct, frozen=True, array_like=True):
    """A histogram's values: how many in each bucket (the last: above all bounds), and their sum."""

    name: str
    labels: Labels
    buckets: list[int]
    total: float


class Readings(Struct, frozen=True, array_like=True):
    """What a meter shows, or what was added since it was last taken."""

    counted: list[Counted] = []
    timed: list[Timed] = []

    def __bool__(self) -> bool:
        return bool(self.counted or self.timed)


class Meter:
    """Counters and histograms. Threads may share it; every call takes microseconds."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all: a forked child begins at nothing, and the lock may have been held in its parent."""
        self._lock = threading.Lock()
        self._counts: dict[Key, float] = {}
        self._buckets: dict[Key, list[int]] = {}
        self._totals: dict[Key, float] = {}

    def count(self, metric: Metric, labels: Labels = (), amount: float = 1) -> None:
        """Add to a counter."""
        key = metric.name, labels
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + amount

    def observe(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        """Note one value of a histogram."""
        key, place = (metric.name, labels), bisect_left(metric.buckets, value)
        with self._lock:
            buckets = self._buckets.get(key)
            if buckets is None:
                buckets = self._buckets[key] = [0] * (len(metric.buckets) + 1)
            buckets[place] += 1
            self._totals[key] = self._totals.get(key, 0.0) + value

    def readings(self) -> Readings:
        """All there is."""
        with self._lock:
            return self._readings()

    def take(self) -> Readings:
        """All there is, which is forgotten here."""
        with self._lock:
            taken = self._readings()
            self._counts, self._buckets, self._totals = {}, {}, {}
            return taken

    def add(self, readings: Readings) -> None:
        """Add what another meter counted."""
        with self._lock:
            for one in readings.counted:
                key = one.name, one.labels
                self._counts[key] = self._counts.get(key, 0) + one.value
            for timed in readings.timed:
                key = timed.name, timed.labels
                known = self._buckets.get(key) or [0] * len(timed.buckets)
                self._buckets[key] = [before + more for before, more in zip(known, timed.buckets, strict=True)]
                self._totals[key] = self._totals.get(key, 0.0) + timed.total

    def _readings(self) -> Readings:
        counted = [Counted(name, labels, value) for (name, labels), value in self._counts.items()]
        timed = [Timed(*key, list(buckets), self._totals[key]) for key, buckets in self._buckets.items()]
        return Readings(counted, timed)


#: This process's.
METER = Meter()
