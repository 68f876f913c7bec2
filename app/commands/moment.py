"""Points in time, and lengths of it, as commands take them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import click

from app.domain.clock import now_ms

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d{1,6})([smhd])")
_RELATIVE = re.compile(r"([+-])(\d{1,6})([smhd])")


class Moment(click.ParamType[int]):
    """Unix milliseconds of `now`, `-2h`, `+30m` or ISO 8601; UTC where no offset is given."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See the class."""
        if isinstance(value, int):
            return value
        if value == "now":
            return now_ms()
        if match := _RELATIVE.fullmatch(value):
            distance_ms = int(match[2]) * _UNITS_MS[match[3]]
            return now_ms() + (distance_ms if match[1] == "+" else -distance_ms)
        try:
            moment = datetime.fromisoformat(value)
            return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as now, -2h, +30m or 2026-11-23T10:00:00Z", param, ctx)


MOMENT = Moment()


class Duration(click.ParamType[int]):
    """Milliseconds of `30m` or `2h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See the class."""
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(value)
        if not match or not int(match[1]):
            self.fail(f"{value!r} is no duration such as 90s, 30m, 2h or 1d", param, ctx)
        return int(match[1]) * _UNITS_MS[match[2]]


DURATION = Duration()
