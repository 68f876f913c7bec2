"""The operation on statistics."""

from __future__ import annotations

from app.domain.api_key import Scope
from app.domain.statistics import DIMENSIONS, FILTERS, MAX_ROWS
from app.domain.statistics_query import DAYS_DEFAULT, DAYS_MAX, GROUP_BY_DEFAULT
from app.http import statistics
from app.http.openapi.operation import Operation, Parameter, Reply
from app.http.problems import INVALID, UNAVAILABLE
from app.http.statistics_view import StatisticsView

OPERATIONS = (
    Operation(
        method="GET",
        path=statistics.PATH,
        id="showStatistics",
        tag="statistics",
        summary="Count deliveries by where they stand now",
        scope=Scope.READ,
        text="A delivery counts once, under its current status, in the hour (UTC) in which its event was accepted. "
        f"At most {DAYS_MAX} days and {MAX_ROWS} rows; an event that came to no delivery is not counted.",
        parameters=(
            Parameter(
                name="from",
                place="query",
                kind=str,
                text=f"A day, or an RFC 3339 time on a full hour; without it {DAYS_DEFAULT} days before `to`.",
                example="2026-11-22",
            ),
            Parameter(
                name="to",
                place="query",
                kind=str,
                text="The end, itself not counted; without it the end of the hour that is running.",
                example="2026-11-23T12:00:00Z",
            ),
            Parameter(
                name="group_by",
                place="query",
                kind=str,
                text=f"Any of {', '.join(DIMENSIONS)}, with commas; empty: one count of all.",
                default=GROUP_BY_DEFAULT,
                example="day,channel,status",
            ),
            *(
                Parameter(name=name, place="query", kind=str, text=f"Only these values of `{name}`, with commas.")
                for name in FILTERS
            ),
        ),
        replies=(Reply(status=200, text="The counts, in order of what is grouped by.", kind=StatisticsView),),
        problems=(INVALID, UNAVAILABLE),
    ),
)
