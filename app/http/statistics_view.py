"""Counts of deliveries as HTTP and `manage.py stats --json` show them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from app.domain.statistics import CountQuery, CountRow
from app.http.wire import Rfc3339, rfc3339


class CountView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One group: what was grouped by, and how many deliveries stand so. `reason` is empty where there is none."""

    day: str | None = None
    hour: Rfc3339 | None = None
    channel: str | None = None
    event_type: str | None = None
    status: str | None = None
    reason: str | None = None
    count: int


class StatisticsView(Struct, frozen=True, kw_only=True):
    """The answer, with the question as it was understood."""

    from_: Rfc3339 = msgspec.field(name="from")
    to: Rfc3339
    group_by: tuple[str, ...]
    rows: list[CountView]


def statistics_view(query: CountQuery, rows: Sequence[CountRow]) -> StatisticsView:
    """The view of these groups."""
    return StatisticsView(
        from_=rfc3339(query.from_ms),
        to=rfc3339(query.to_ms),
        group_by=query.group_by,
        rows=[
            CountView(count=row.count, **{name: shown_value(name, value) for name, value in row.values.items()})
            for row in rows
        ],
    )


def shown_value(name: str, value: str | int) -> str:
    """A value of what is grouped by: times as RFC 3339, days as `2026-11-22`."""
    if isinstance(value, str):
        return value
    at = rfc3339(value)
    return at[: len("2026-11-22")] if name == "day" else at
