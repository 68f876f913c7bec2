"""What is particular to the history on Cassandra: write times, expiry, batches, listings, counts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from app.domain.event import Event
from app.domain.outcome import Outcome, Status
from app.domain.statistics import DAY_MS, HOUR_MS, CountQuery
from tests.support.sql_stores import Stores

pytest.importorskip("cassandra", reason="needs requirements-real.txt")

from infrastructure.cassandra import batches, cold
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.history import CassandraHistory
from tests.support.cassandra_stores import RETENTION_S

SUITE = ("cassandra",)
ACCEPTED_MS = 20_000 * DAY_MS
EVENT = Event(user_id="anna", event_type="news", content="content")
ALL_DAY = CountQuery(from_ms=ACCEPTED_MS, to_ms=ACCEPTED_MS + DAY_MS, group_by=("status",))


def outcome(number: int = 0, status: Status = Status.SENT, **given: Any) -> Outcome:
    values = {
        "notification_id": f"n-{number:04}",
        "delivery_id": f"d-{number:04}",
        "user_id": "anna",
        "event_type": "news",
        "channel": "email",
        "status": status,
        "at_ms": ACCEPTED_MS + 80,
        "accepted_at_ms": ACCEPTED_MS,
        "event": EVENT,
    }
    return Outcome(**(values | given))


@pytest.fixture
def client(stores: Stores) -> Client:
    assert stores.client is not None
    return stores.client


@pytest.fixture
def history(stores: Stores) -> CassandraHistory:
    assert isinstance(stores.history, CassandraHistory)
    return stores.history


def counted(stores: Stores, query: CountQuery = ALL_DAY) -> dict[Any, int]:
    return {row.values["status"]: row.count for row in stores.statistics.counts(query)}


def requests(stores: Stores, outcomes: list[Outcome]) -> list[str]:
    with stores.statements() as statements:
        stores.history.append(outcomes)
    return statements


@pytest.mark.parametrize(
    ("table", "cell"),
    [
        ("outcomes_by_notification", "channel"),
        ("outcomes_by_notification", "event"),
        ("standings", "event_type"),
        ("changes", "mark"),
    ],
)
def test_everything_expires(stores: Stores, client: Client, table: str, cell: str) -> None:
    stores.history.append([outcome()])
    [ttl_s] = {ttl_s for (ttl_s,) in client.rows(f"SELECT TTL({cell}) FROM {table}")}  # noqa: S608 - names of ours
    assert RETENTION_S - 60 < ttl_s <= RETENTION_S


def test_tables_of_rows_in_time_order_are_dropped_by_the_file(client: Client) -> None:
    query = "SELECT table_name, compaction FROM system_schema.tables WHERE keyspace_name = ?"
    found = {name for name, how in client.rows(query, [client.address.keyspace]) if "TimeWindow" in how["class"]}
    assert found == {"outcomes_by_notification", "notifications_by_user", "standings"}


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_contents_under_one_key_the_first_to_happen_stays_in_whatever_order(
    stores: Stores, turned: bool
) -> None:
    first = outcome(detail="first")
    second = outcome(detail="second", at_ms=first.at_ms + 1, event=structs.replace(EVENT, content="other"))
    for one in (second, first) if turned else (first, second):
        stores.history.append([one])
    record = stores.history.notification("n-0000")
    assert record is not None
    assert ([one.detail for one in record.outcomes], record.event["content"]) == (["first"], "content")


def test_an_outcome_without_event_or_user_takes_neither_away(stores: Stores) -> None:
    stores.history.append([outcome()])
    stores.history.append([outcome(status=Status.DELIVERED, event=None, user_id="", event_type="")])
    record = stores.history.notification("n-0000")
    assert record is not None
    assert (record.user_id, record.event_type, record.event["content"]) == ("anna", "news", "content")


def test_five_hundred_outcomes_take_few_requests(stores: Stores) -> None:
    stores.history.append([outcome(9999)])
    asked = requests(stores, [outcome(number, accepted_at_ms=ACCEPTED_MS + number) for number in range(500)])
    # 500 rows each of outcomes, listing and standings, in fifties or 24 KiB; then parts' marks, then the hour's.
    assert len(asked) <= 45
    assert asked[-1].startswith("INSERT INTO changes")


def test_a_month_is_noted_once_by_a_process(stores: Stores) -> None:
    asked = [requests(stores, [outcome(number)]) for number in range(2)]
    assert [sum("BATCH 4" in one for one in some) for some in asked] == [1, 0]


def test_events_larger_than_a_batch_may_be_are_stored(stores: Stores) -> None:
    large = structs.replace(EVENT, content="x" * 200_000)
    stores.history.append([outcome(number, event=large if number % 2 else EVENT) for number in range(8)])
    assert len(stores.history.by_user("anna").items) == 8


def test_where_the_server_refuses_a_batch_for_its_size_its_rows_go_alone(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BYTES", 200_000)
    large = structs.replace(EVENT, content="x" * 20_000)
    stores.history.append([outcome(number, event=large) for number in range(8)])
    assert [len(record.event["content"]) for record in stores.history.by_user("anna").items] == [20_000] * 8


def test_a_listing_goes_on_over_months_where_nothing_was(stores: Stores) -> None:
    ages = [0, 1, 40, 41, 200]
    stores.history.append(
        [outcome(number, accepted_at_ms=ACCEPTED_MS - age * DAY_MS) for number, age in enumerate(ages)]
    )
    seen, cursor = [], None
    while not seen or cursor:
        page = stores.history.by_user("anna", cursor=cursor, limit=2)
        seen += [record.id for record in page.items]
        cursor = page.cursor
    assert seen == [f"n-{number:04}" for number in range(5)]


# counting


def test_nothing_is_counted_again_where_nothing_was_added(stores: Stores) -> None:
    stores.history.append([outcome(number) for number in range(20)])
    assert counted(stores) == {"sent": 20}
    with stores.statements() as statements:
        assert counted(stores) == {"sent": 20}
    assert len(statements) == 2  # what was counted of the day, and the marks


def test_a_replay_by_another_process_counts_nothing_twice(stores: Stores, other_process: Stores) -> None:
    everything = [outcome(number, status) for number in range(40) for status in (Status.SENT, Status.DELIVERED)]
    for one in (stores, other_process, stores):
        one.history.append(everything)
        assert counted(stores) == counted(other_process) == {"delivered": 40}


def test_what_is_written_while_somebody_counts_is_counted_next_time(
    stores: Stores, history: CassandraHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.history.append([outcome(1)])
    mark = history._standings.mark

    def count_before(outcomes: list[Outcome]) -> Any:
        counted(stores)  # the row is there, its mark is not
        return mark(outcomes)

    monkeypatch.setattr(history._standings, "mark", count_before)
    stores.history.append([outcome(1, Status.DELIVERED), outcome(2)])
    assert counted(stores) == {"delivered": 1, "sent": 1}


def test_a_count_that_is_stored_late_is_not_believed(
    stores: Stores, other_process: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.history.append([outcome(1)])
    slow = other_process.statistics._counting
    store, held = slow._store, []
    monkeypatch.setattr(slow, "_store", lambda *given: held.append(given))
    assert counted(other_process) == {"sent": 1}
    stores.history.append([outcome(2)])
    assert counted(stores) == {"sent": 2}
    for given in held:
        store(*given)
    assert counted(stores) == {"sent": 2}


def test_a_mark_of_a_writer_whose_clock_is_behind_is_seen(
    stores: Stores, other_process: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.history.append([outcome(1)])
    assert counted(stores) == {"sent": 1}
    monkeypatch.setattr("time.time_ns", lambda: 0)
    other_process.history.append([outcome(1, Status.DELIVERED)])
    assert counted(stores) == {"delivered": 1}


def test_cold_parts_are_counted_ahead(stores: Stores, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold, "COLD_S", 0.0)
    stores.history.append([outcome(number) for number in range(2)])
    stores.history.append([outcome(9, accepted_at_ms=ACCEPTED_MS + HOUR_MS)])
    [*ahead] = client.rows("SELECT span FROM counted")
    assert ahead
    assert set(ahead) == {("h",)}
    assert counted(stores) == {"sent": 3}
