"""What may be asked of the statistics, and how a question that is none is refused."""

from __future__ import annotations

import pytest

from app.domain.statistics import DAY_MS, HOUR_MS, CountQuery
from app.domain.statistics_query import QueryError, read_query

NOW_MS = 1_795_438_816_123  # 2026-11-23T13:00:16.123Z
HOUR_NOW_MS = NOW_MS - NOW_MS % HOUR_MS


def test_without_parameters_it_is_the_last_seven_days_by_status() -> None:
    end_ms = HOUR_NOW_MS + HOUR_MS
    assert read_query({}, NOW_MS) == CountQuery(from_ms=end_ms - 7 * DAY_MS, to_ms=end_ms, group_by=("status",))


def test_days_and_times_may_be_mixed_and_offsets_are_the_same_moment() -> None:
    query = read_query({"from": "1970-01-02", "to": "1970-01-02T05:00:00+02:00"}, NOW_MS)
    assert (query.from_ms, query.to_ms) == (DAY_MS, DAY_MS + 3 * HOUR_MS)


def test_groups_are_in_one_order_and_filters_are_lists() -> None:
    query = read_query({"group_by": "status,day,status", "channel": "sms,email,sms", "reason": ",ttl"}, NOW_MS)
    assert query.group_by == ("day", "status")
    assert query.filters == {"channel": ("sms", "email"), "reason": ("", "ttl")}
    assert read_query({"group_by": ""}, NOW_MS).group_by == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("form", "2026-11-01"),
        ("from", "yesterday"),
        ("from", "2026-11-01T10:00:00"),
        ("from", "2026-11-01T10:30:00Z"),
        ("from", "2026-13-01"),
        ("from", "2025-01-01"),
        ("from", "2030-01-01"),
        ("from", "0001-01-01"),
        ("to", "1969-12-31"),
        ("to", "9999-12-31T23:00:00-23:00"),
        ("group_by", "status,user"),
        ("group_by", "status,"),
        ("channel", "fax"),
        ("channel", ""),
        ("status", "sent,gone"),
        ("reason", "because"),
        ("event_type", "A"),
        ("event_type", "x" * 65),
    ],
)
def test_what_is_wrong_is_named_by_its_parameter(name: str, value: str) -> None:
    with pytest.raises(QueryError) as raised:
        read_query({name: value}, NOW_MS)
    assert raised.value.parameter == name
