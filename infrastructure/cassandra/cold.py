"""Parts that nothing was added to for a while: what the tracker counts ahead, so that a question finds them counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from infrastructure.cassandra.standings import Part

#: A part is a minute of acceptance; most of its outcomes come within seconds.
COLD_S = 60.0
#: Parts that are kept in mind; a question counts what was left out.
MOST = 10_000


class ColdParts:
    """Which parts this process has touched, the longest untouched first. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._touched: dict[Part, float] = {}
        self._lock = threading.Lock()

    def touch(self, parts: Iterable[Part]) -> None:
        """Something was added to these now."""
        with self._lock:
            for part in parts:
                self._touched.pop(part, None)
                self._touched[part] = self._clock()
            while len(self._touched) > MOST:
                del self._touched[next(iter(self._touched))]

    def take(self) -> Part | None:
        """One that is cold, once."""
        with self._lock:
            part = next(iter(self._touched), None)
            if part is None or self._clock() - self._touched[part] < COLD_S:
                return None
            del self._touched[part]
            return part
