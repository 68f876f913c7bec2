"""Counts of deliveries, read, and counted where they are not."""

from __future__ import annotations

from collections import Counter

from app.domain.statistics import DAY_MS, FILTERS, MAX_ROWS, CountQuery, CountRow
from infrastructure.cassandra.counting import Counting, Kind

Value = str | int


class CassandraStatistics:
    """The port `Statistics`. Hours that changed since they were counted are counted while the question waits."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def counts(self, query: CountQuery) -> list[CountRow]:
        """The groups in order of their values; one more than `MAX_ROWS` where there are too many."""
        days = list(range(query.from_ms - query.from_ms % DAY_MS, query.to_ms, DAY_MS))
        total: Counter[tuple[Value, ...]] = Counter()
        for hour_ms, counts in self._counting.hours_of(days, query.from_ms, query.to_ms).items():
            for kind, number in counts.items():
                named = _named(hour_ms, kind)
                if all(named[name] in values for name, values in query.filters.items()):
                    total[tuple(named[name] for name in query.group_by)] += number
        rows = sorted(item for item in total.items() if item[1])[: MAX_ROWS + 1]
        return [
            CountRow(values=dict(zip(query.group_by, values, strict=True)), count=number) for values, number in rows
        ]


def _named(hour_ms: int, kind: Kind) -> dict[str, Value]:
    return {"day": hour_ms - hour_ms % DAY_MS, "hour": hour_ms} | dict(zip(FILTERS, kind, strict=True))
