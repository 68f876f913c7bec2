"""Marks that something changed, to be compared with those found before: whoever finds the same ones missed nothing.

A mark is written when what it is about is acknowledged: whoever finds it finds that, too. Each writer has marks of
its own, and they only grow, so that of two writers, or threads, none hides what another has changed, whatever their
clocks say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from infrastructure.cassandra.client import Client

#: writer -> its latest mark
Marks = dict[str, int]

_INSERT = "INSERT INTO changes (span, start_ms, part, writer, mark) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
_SELECT = "SELECT part, writer, mark FROM changes WHERE span = ? AND start_ms = ?"


class Marker:
    """Writes one writer's marks."""

    def __init__(self, client: Client, writer: str, ttl_s: int) -> None:
        self._client = client
        self._writer = writer
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._last = 0

    def mark(self, places: Iterable[tuple[str, int, int]]) -> None:
        """Mark these (span, start, part). What they are about has to be acknowledged."""
        mark = self._next()
        self._client.write(
            [self._client.bind(_INSERT, (*place, self._writer, mark, mark, self._ttl_s)) for place in places]
        )

    def _next(self) -> int:
        """Taken behind what it is about: whoever finds it, or a greater one, finds that."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last


def marks_of(client: Client, span: str, starts: Iterable[int]) -> list[dict[int, Marks]]:
    """For each start: the marks of its parts."""
    found: list[dict[int, Marks]] = []
    for rows in client.rows_of_each(_SELECT, [(span, start_ms) for start_ms in starts]):
        marks: dict[int, Marks] = {}
        for number, writer, mark in rows:
            marks.setdefault(number, {})[writer] = mark
        found.append(marks)
    return found
