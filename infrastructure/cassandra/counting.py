"""Counts of parts and hours: absolute numbers, counted anew where a mark has changed since, so never added up twice.

What was counted is stored together with the marks that were found *before* counting. Where the marks are other ones
now, it is not used. So it does not matter who counts, how often, at the same time, or breaks off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from app.domain.codec import decode, encode
from app.domain.statistics import HOUR_MS
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.marks import Marks, marks_of
from infrastructure.cassandra.standings import OF_DAY, OF_HOUR, Part

#: channel, event type, status, reason
Kind = tuple[str, str, str, str]

_COUNTED = "SELECT part, found FROM counted WHERE span = ? AND start_ms = ?"
_STORE = "INSERT INTO counted (span, start_ms, part, found) VALUES (?, ?, ?, ?) USING TTL ?"
# The first of a group is the strongest, by the table's order.
_STRONGEST = (
    "SELECT channel, event_type, status, reason FROM standings WHERE hour_ms = ? AND part = ?"
    " GROUP BY hour_ms, part, delivery_id"
)


class Found(Struct, frozen=True, array_like=True):
    """What was counted of a part: the marks of writers before, and deliveries by kind."""

    marks: Marks
    counts: list[tuple[str, str, str, str, int]]


class Counting:
    """Counts of hours and their parts."""

    def __init__(self, client: Client, retention_s: float) -> None:
        self._client = client
        self._ttl_s = round(retention_s)

    def hours_of(self, days: list[int], from_ms: int, to_ms: int) -> dict[int, Counter[Kind]]:
        """Start of the hour -> its deliveries by kind, of the hours of these days that lie between the times."""
        found: dict[int, Counter[Kind]] = {}
        for day_ms, (marks, known) in zip(days, self._read(OF_DAY, days), strict=True):
            for number, marked in marks.items():
                hour_ms = day_ms + number * HOUR_MS
                if from_ms <= hour_ms < to_ms:
                    found[hour_ms] = self._hour(Part(OF_DAY, day_ms, number), hour_ms, marked, known.get(number))
        return found

    def _hour(self, part: Part, hour_ms: int, marks: Marks, known: Found | None) -> Counter[Kind]:
        if known is not None and known.marks == marks:
            return _counter(known)
        [(marks_of_parts, known_parts)] = self._read(OF_HOUR, [hour_ms])
        total: Counter[Kind] = Counter()
        for number, marked in sorted(marks_of_parts.items()):
            known_part = known_parts.get(number)
            if known_part is not None and known_part.marks == marked:
                total += _counter(known_part)
            else:
                total += self.count(Part(OF_HOUR, hour_ms, number), marked)
        self._store(part, marks, total)
        return total

    def count(self, part: Part, marks: Marks | None = None) -> Counter[Kind]:
        """Count the part now and store it with these marks, or with those found now."""
        if marks is None:
            [(found, _)] = self._read(part.span, [part.start_ms])
            marks = found.get(part.number, {})
        counts: Counter[Kind] = Counter(self._client.rows(_STRONGEST, (part.start_ms, part.number)))
        self._store(part, marks, counts)
        return counts

    def _store(self, part: Part, marks: Marks, counts: Counter[Kind]) -> None:
        found = encode(Found(marks, [(*kind, number) for kind, number in sorted(counts.items())]))
        self._client.write([self._client.bind(_STORE, (*part, found, self._ttl_s))])

    def _read(self, span: str, starts: list[int]) -> list[tuple[dict[int, Marks], dict[int, Found]]]:
        """For each span: the marks of its parts, and what is stored of them."""
        counted = self._client.rows_of_each(_COUNTED, [(span, start_ms) for start_ms in starts])
        marks = marks_of(self._client, span, starts)
        return [(marked, _known(known)) for marked, known in zip(marks, counted, strict=True)]


def _known(rows: Iterable[tuple[int, bytes]]) -> dict[int, Found]:
    return {number: decode(found, Found) for number, found in rows}


def _counter(found: Found) -> Counter[Kind]:
    return Counter(
        {(channel, event_type, status, reason): n for channel, event_type, status, reason, n in found.counts}
    )
