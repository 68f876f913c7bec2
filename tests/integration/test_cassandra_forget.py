"""Forgetting on Cassandra, where no transaction holds the look at who was forgotten together with the write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from app.domain.event import Event
from app.domain.outcome import Outcome, Status
from app.domain.statistics import DAY_MS
from tests.support.sql_stores import Stores

pytest.importorskip("cassandra", reason="needs requirements-real.txt")

from infrastructure.cassandra.client import Client
from infrastructure.cassandra.history import CassandraHistory
from tests.support.cassandra_stores import TABLES

SUITE = ("cassandra",)
ACCEPTED_MS = 20_000 * DAY_MS
FORGOTTEN_MS = ACCEPTED_MS + 10
EVENT = Event(user_id="anna", event_type="news", content="kestrel")


def outcome(number: int = 1, **given: Any) -> Outcome:
    values = {
        "notification_id": f"n-{number}",
        "delivery_id": f"d-{number}",
        "user_id": "anna",
        "event_type": "news",
        "channel": "email",
        "status": Status.SENT,
        "detail": "250 kestrel",
        "provider_id": "<kestrel>",
        "at_ms": ACCEPTED_MS + 80,
        "accepted_at_ms": ACCEPTED_MS,
        "event": EVENT,
    }
    return Outcome(**(values | given))


@pytest.fixture
def client(stores: Stores) -> Client:
    assert stores.client is not None
    return stores.client


def everything(client: Client) -> list[tuple[str, str]]:
    """(table, row as text) of all rows."""
    rows = [(table, row) for table in TABLES for row in client.rows(f"SELECT * FROM {table}")]  # noqa: S608
    return [
        (table, " | ".join(cell.decode() if isinstance(cell, bytes) else str(cell) for cell in row))
        for table, row in rows
    ]


def personal(client: Client) -> set[str]:
    """The tables that tell something of the user."""
    return {table for table, text in everything(client) if "anna" in text or "kestrel" in text}


def at_moment(monkeypatch: pytest.MonkeyPatch, stores: Stores, name: str, number: int, act: Callable[[], None]) -> None:
    """Do something before the call of this number (0 on) of the client's method, once."""
    client, calls = stores.client, [0]
    original = getattr(client, name)

    def wrapped(*given: Any) -> Any:
        calls[0] += 1
        if calls[0] == number + 1:
            act()
        return original(*given)

    monkeypatch.setattr(client, name, wrapped)


def forget(stores: Stores) -> None:
    stores.personal_data.remember("anna", FORGOTTEN_MS)
    stores.personal_data.remove("anna", FORGOTTEN_MS)


def test_nothing_is_left_in_any_table(stores: Stores, client: Client) -> None:
    stores.history.append([outcome(number) for number in range(5)])
    assert personal(client) == {"outcomes_by_notification", "notifications_by_user", "user_months"}
    forget(stores)
    assert personal(client) == set()
    assert len(everything(client)) >= 5


@pytest.mark.parametrize("write", range(3))
def test_whoever_is_forgotten_during_an_append_leaves_nothing(
    stores: Stores, other_process: Stores, client: Client, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Before the rows are written, before the marks, before the hour's mark: remembered and removed at once."""
    stores.personal_data.remember("ben", 1)  # somebody was forgotten before, so that each look asks
    at_moment(monkeypatch, stores, "write", write, lambda: forget(other_process))
    stores.history.append([outcome()])
    if write:
        monkeypatch.undo()
        forget(stores)  # what was written before it was remembered, the removal finds
    assert personal(client) == set()


def test_what_another_tracker_wrote_and_could_not_take_back_is_taken_back_with_the_repetition(
    stores: Stores, other_process: Stores, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.personal_data.remember("ben", 1)
    with monkeypatch.context() as dying:
        at_moment(dying, stores, "write", 0, lambda: forget(other_process))

        def die(*_: object) -> None:
            raise SystemExit

        dying.setattr(CassandraHistory, "_look_again", die)
        with pytest.raises(SystemExit):
            stores.history.append([outcome()])
    assert personal(client) != set()
    other_process.history.append([outcome()])  # nothing was committed, so it comes again
    assert personal(client) == set()
    record = stores.history.notification("n-1")
    assert record is not None
    assert [one.status for one in record.outcomes] == [Status.SENT]


def test_a_write_that_arrives_long_after_the_removal_is_outdone(stores: Stores, client: Client) -> None:
    """As a node does that was away: the very write from before, under its own time."""
    writes: list[Any] = []
    stores.history.append([outcome()])
    original = client.write
    client.write = lambda given: writes.extend(list(given))  # type: ignore[method-assign]
    try:
        stores.history.append([outcome()])
    finally:
        client.write = original  # type: ignore[method-assign]
    forget(stores)
    client.write(writes)
    assert personal(client) == set()


@pytest.mark.parametrize("clock_ns", [None, 0], ids=["in time", "behind"])
def test_who_is_forgotten_elsewhere_is_seen_although_known_not_to_be(
    stores: Stores, other_process: Stores, monkeypatch: pytest.MonkeyPatch, clock_ns: int | None
) -> None:
    of_history = stores.history._forgotten
    stores.personal_data.remember("ben", 1)
    assert of_history.forgotten_at(["anna", "ben"]) == {"ben": 1}
    with stores.statements() as statements:
        assert of_history.forgotten_at(["anna"]) == {}
    assert len(statements) == 1
    if clock_ns is not None:
        monkeypatch.setattr("time.time_ns", lambda: clock_ns)
    for at_ms in (7, 9):
        other_process.personal_data.remember("anna", at_ms)
        assert of_history.forgotten_at(["anna", "carla"]) == {"anna": at_ms}


def test_events_of_the_same_month_are_listed_although_it_was_noted_before(
    stores: Stores, other_process: Stores
) -> None:
    stores.personal_data.remember("ben", 1)
    stores.history.append([outcome(1)])
    forget(other_process)
    later = structs.replace(outcome(2), accepted_at_ms=FORGOTTEN_MS + 1)
    stores.history.append([later])
    assert [record.id for record in stores.history.by_user("anna").items] == ["n-2"]


def test_events_from_just_afterwards_that_are_there_already_stay_listed(stores: Stores) -> None:
    stores.history.append([outcome(1), structs.replace(outcome(2), accepted_at_ms=FORGOTTEN_MS + 1)])
    forget(stores)
    [record] = stores.history.by_user("anna").items
    assert (record.id, record.event["content"], record.outcomes[0].detail) == ("n-2", "kestrel", "250 kestrel")


def test_a_removal_that_broke_off_is_done_by_the_next(stores: Stores, client: Client) -> None:
    stores.history.append([outcome(number) for number in range(3)])
    stores.personal_data.remember("anna", FORGOTTEN_MS)
    with pytest.MonkeyPatch.context() as broken:

        def fail() -> None:
            raise OSError

        at_moment(broken, stores, "write", 1, fail)
        with pytest.raises(OSError):  # noqa: PT011 - ours
            stores.personal_data.remove("anna", FORGOTTEN_MS)
    assert personal(client) == {"notifications_by_user", "user_months"}
    assert stores.personal_data.remove("anna", FORGOTTEN_MS)["notifications"] == 3
    assert personal(client) == set()
