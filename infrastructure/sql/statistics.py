"""Counts of deliveries, read."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Engine, Select, func, literal_column, select

from app.domain.statistics import DAY_MS, MAX_ROWS, CountQuery, CountRow
from infrastructure.sql.engine import reading
from infrastructure.sql.schema import delivery_counts

_COLUMNS: dict[str, ColumnElement[Any]] = {
    # A literal: by a parameter MySQL would not see that what is selected is what is grouped by.
    "day": delivery_counts.c.hour_ms - delivery_counts.c.hour_ms % literal_column(str(DAY_MS), BigInteger),
    "hour": delivery_counts.c.hour_ms,
    "channel": delivery_counts.c.channel,
    "event_type": delivery_counts.c.event_type,
    "status": delivery_counts.c.status,
    "reason": delivery_counts.c.reason,
}


class SqlStatistics:
    """The port `Statistics`: reads no outcome, only what `delivery_counts` has of the hours asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def counts(self, query: CountQuery) -> list[CountRow]:
        """The groups in order of their values; one more than `MAX_ROWS` where there are too many."""
        with reading(self._engine) as connection:
            rows = connection.execute(_statement(query)).all()
        names = query.group_by
        return [CountRow(values=dict(zip(names, row[:-1], strict=True)), count=int(row[-1])) for row in rows]


def _statement(query: CountQuery) -> Select[*tuple[Any, ...]]:
    columns = [_COLUMNS[name].label(f"by_{name}") for name in query.group_by]
    total = func.sum(delivery_counts.c.deliveries)
    hours = (delivery_counts.c.hour_ms >= query.from_ms, delivery_counts.c.hour_ms < query.to_ms)
    wanted = (_COLUMNS[name].in_(values) for name, values in query.filters.items())
    chosen = select(*columns, total).where(*hours, *wanted).having(total > 0)
    return chosen.group_by(*columns).order_by(*columns).limit(MAX_ROWS + 1)
