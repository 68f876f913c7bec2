"""The words of a question for counts, from a query string or a command line, to a `CountQuery`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import MAXYEAR, UTC, date, datetime
from typing import Final

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.errors import NotifyError
from app.domain.outcome import Reason, Status
from app.domain.statistics import DAY_MS, DIMENSIONS, FILTERS, HOUR_MS, CountQuery

GROUP_BY_DEFAULT: Final = "status"
DAYS_DEFAULT: Final = 7
DAYS_MAX: Final = 400
PARAMETERS: Final = ("from", "to", "group_by", *FILTERS)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EVENT_TYPE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_KNOWN: Final[Mapping[str, Callable[[str], bool]]] = {
    "channel": lambda value: value in CHANNEL_BY_NAME,
    "event_type": lambda value: _EVENT_TYPE.fullmatch(value) is not None,
    "status": lambda value: value in set(Status),
    "reason": lambda value: not value or value in set(Reason),
}


class QueryError(NotifyError):
    """A parameter that is not what is asked for."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(f"{parameter}: {detail}")
        self.parameter = parameter
        self.detail = detail


def read_query(given: Mapping[str, str], now_ms: int) -> CountQuery:
    """The question. `from` and `to` are days or RFC 3339 times on full hours (UTC), the others lists with commas.

    Without `to` it ends with the hour that is running, without `from` it begins 7 days before. Raises QueryError.
    """
    for name in given:
        if name not in PARAMETERS:
            raise QueryError(name, "is not a parameter")
    to_ms = _time_ms("to", given["to"]) if "to" in given else now_ms - now_ms % HOUR_MS + HOUR_MS
    from_ms = _time_ms("from", given["from"]) if "from" in given else max(0, to_ms - DAYS_DEFAULT * DAY_MS)
    if from_ms >= to_ms:
        raise QueryError("from", "is not before to")
    if to_ms - from_ms > DAYS_MAX * DAY_MS:
        raise QueryError("from", f"is more than {DAYS_MAX} days before to")
    filters = {name: _filter(name, given[name]) for name in FILTERS if name in given}
    return CountQuery(
        from_ms=from_ms, to_ms=to_ms, group_by=_group_by(given.get("group_by", GROUP_BY_DEFAULT)), filters=filters
    )


def _time_ms(name: str, text: str) -> int:
    try:
        if _DATE.fullmatch(text):
            at = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        else:
            at = datetime.fromisoformat(text)
        at_ms = round(at.timestamp() * 1000) if at.tzinfo and at.year < MAXYEAR else None
    except (ValueError, OverflowError):
        at_ms = None
    if at_ms is None or at_ms < 0:
        raise QueryError(name, "is neither a day such as 2026-11-22 nor a time such as 2026-11-22T14:00:00Z")
    if at_ms % HOUR_MS:
        raise QueryError(name, "is not on a full hour (UTC)")
    return at_ms


def _group_by(text: str) -> tuple[str, ...]:
    """The names in the order of `DIMENSIONS`; none for an empty text: one count of all."""
    names = text.split(",") if text else []
    for name in names:
        if name not in DIMENSIONS:
            raise QueryError("group_by", f"is not a list of {', '.join(DIMENSIONS)}")
    return tuple(name for name in DIMENSIONS if name in names)


def _filter(name: str, text: str) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(text.split(",")))
    if not all(map(_KNOWN[name], values)):
        raise QueryError(name, f"is not a list of {_kinds(name)}")
    return values


def _kinds(name: str) -> str:
    if name == "channel":
        return f"channels ({', '.join(CHANNEL_BY_NAME)})"
    if name == "status":
        return f"statuses ({', '.join(Status)})"
    if name == "reason":
        return f"reasons (none, or {', '.join(Reason)})"
    return "event types"
