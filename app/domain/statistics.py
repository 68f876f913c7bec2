"""The question how many deliveries stand where, and its answer."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: Most rows of one answer.
MAX_ROWS = 10_000

FILTERS = ("channel", "event_type", "status", "reason")
DIMENSIONS = ("day", "hour", *FILTERS)


class CountQuery(Struct, frozen=True, kw_only=True):
    """Which counts are asked for: of deliveries accepted from `from_ms` to before `to_ms`, both on full hours.

    `filters` maps names of `FILTERS` to the values that count; `group_by` are names of `DIMENSIONS`, in their order.
    """

    from_ms: int
    to_ms: int
    group_by: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]] = {}


class CountRow(Struct, frozen=True, kw_only=True):
    """One group: its values by the names grouped by (`day` and `hour` as Unix milliseconds), and its deliveries."""

    values: Mapping[str, str | int]
    count: int
