"""Ports ForgottenUsers and PersonalData, and what the other stores do about users that were forgotten."""

from __future__ import annotations

import time
from typing import Any

from msgspec import structs

from app.domain.delivery import Delivery, Parked
from app.domain.event import Event, Options, To
from app.domain.forget_user import EMPTY_KNOWN_S
from app.domain.lane import Priority
from app.domain.outcome import Outcome, Reason, Status
from app.domain.ports import InboxEntry
from app.domain.statistics import HOUR_MS, CountQuery
from app.domain.users import Contacts, Preferences, User
from tests.support.sql_stores import HISTORY_STORES, Stores

SUITE = HISTORY_STORES
FORGOTTEN_MS = 1000
EVENT = Event(user_id="anna", event_type="news", content="secret", options=Options(to=To(email="anna@example.com")))


def outcome(number: int = 0, *, at_ms: int = FORGOTTEN_MS, **given: Any) -> Outcome:
    values = {
        "notification_id": f"n-{number}",
        "delivery_id": f"d-{number}",
        "user_id": "anna",
        "event_type": "news",
        "channel": "email",
        "status": Status.SENT,
        "detail": "250 anna@example.com ok",
        "provider": "smtp",
        "provider_id": "<1.anna@example.com>",
        "at_ms": at_ms + 5,
        "accepted_at_ms": at_ms,
        "routed_at_ms": at_ms + 1,
        "event": EVENT,
    }
    return Outcome(**(values | given))


def entry(name: str, user_id: str = "anna", at_ms: int = FORGOTTEN_MS) -> InboxEntry:
    return InboxEntry(
        id=name,
        notification_id="n",
        user_id=user_id,
        event_type="news",
        category="c",
        subject="s",
        body="b",
        created_at_ms=at_ms,
    )


def parked(name: str, user_id: str = "anna", *, at_ms: int = FORGOTTEN_MS, due_at_ms: int = 9000) -> Parked:
    delivery = Delivery(
        id=name,
        notification_id="n",
        channel="email",
        priority=Priority.LOW,
        event=structs.replace(EVENT, user_id=user_id),
        accepted_at_ms=at_ms,
        routed_at_ms=at_ms,
        expires_at_ms=99_999,
    )
    return Parked(delivery=delivery, due_at_ms=due_at_ms, reason=Reason.QUIET_HOURS)


def forget(stores: Stores, user_id: str = "anna", at_ms: int = FORGOTTEN_MS) -> dict[str, int]:
    stores.personal_data.remember(user_id, at_ms)
    return dict(stores.personal_data.remove(user_id, at_ms))


def test_nobody_is_forgotten_at_first_and_asking_again_shortly_asks_no_store(stores: Stores) -> None:
    assert stores.forgotten.forgotten_at(["anna"]) == {}
    with stores.statements() as statements:
        assert stores.forgotten.forgotten_at(["anna", "ben"]) == {}
    assert statements == []


def test_what_another_process_remembers_is_known_once_the_emptiness_is_old(
    stores: Stores, other_process: Stores
) -> None:
    assert stores.forgotten.forgotten_at(["anna"]) == {}
    other_process.personal_data.remember("anna", 7)
    time.sleep(EMPTY_KNOWN_S)
    assert stores.forgotten.forgotten_at(["anna", "ben"]) == {"anna": 7}


def test_only_who_is_forgotten_first_has_to_be_waited_for(stores: Stores) -> None:
    assert not stores.personal_data.remember("anna", 7)
    assert not stores.personal_data.remember("ben", 8)
    time.sleep(EMPTY_KNOWN_S)
    assert stores.personal_data.remember("anna", 9)


def test_the_latest_time_counts_and_one_query_does_for_many(stores: Stores) -> None:
    for at_ms in (5, 9, 7):
        stores.personal_data.remember("anna", at_ms)
    with stores.statements() as statements:
        assert stores.forgotten.forgotten_at(["ben", "anna", *map(str, range(300))]) == {"anna": 9}
    assert len(statements) == 1


def test_all_that_is_theirs_goes_and_is_counted(stores: Stores) -> None:
    stores.users.put(User(id="anna", contacts=Contacts(email="anna@example.com")))
    stores.preferences.put("anna", Preferences(muted_until_ms=9))
    stores.inbox.add([entry("a"), entry("b"), entry("c", "ben")])
    stores.history.append([outcome(1), outcome(1, status=Status.DELIVERED), outcome(2)])
    assert forget(stores) == {"users": 1, "preferences": 1, "inbox": 2, "devices": 0, "notifications": 2, "outcomes": 3}
    assert forget(stores) == {"users": 0, "preferences": 0, "inbox": 0, "devices": 0, "notifications": 0, "outcomes": 0}
    assert stores.users.get("anna") is None
    assert stores.preferences.get("anna") == Preferences()
    assert stores.inbox.list("anna").items == []
    assert stores.history.by_user("anna").items == []
    assert len(stores.inbox.list("ben").items) == 1


def test_the_bare_facts_stay(stores: Stores) -> None:
    stores.history.append([outcome(1, reason=Reason.TTL)])
    forget(stores)
    record = stores.history.notification("n-1")
    assert record is not None
    assert (record.user_id, record.event, record.event_type, record.accepted_at_ms) == ("", None, "news", FORGOTTEN_MS)
    bare = outcome(1, reason=Reason.TTL, user_id="", event=None, detail="", provider_id="")
    assert record.outcomes == [bare]


def test_a_late_outcome_is_stored_and_counted_without_content(stores: Stores) -> None:
    stores.history.append([outcome(1)])
    forget(stores)
    stores.history.append([outcome(1, status=Status.DELIVERED), outcome(2)])
    for name, statuses in (("n-1", [Status.DELIVERED, Status.SENT]), ("n-2", [Status.SENT])):
        record = stores.history.notification(name)
        assert record is not None
        assert (record.user_id, record.event) == ("", None)
        assert sorted(one.status for one in record.outcomes) == statuses
        assert {(one.detail, one.provider_id) for one in record.outcomes} == {("", "")}
    by_status = CountQuery(from_ms=0, to_ms=HOUR_MS, group_by=("status",))
    counted = {row.values["status"]: row.count for row in stores.statistics.counts(by_status)}
    assert counted == {Status.DELIVERED: 1, Status.SENT: 1}


def test_events_from_afterwards_and_other_users_are_as_ever(stores: Stores) -> None:
    stores.history.append([outcome(1, user_id="ben"), outcome(2, at_ms=FORGOTTEN_MS + 1)])
    forget(stores)
    stores.history.append([outcome(3, user_id="ben"), outcome(4, at_ms=FORGOTTEN_MS + 1)])
    for name, user_id in (("n-1", "ben"), ("n-2", "anna"), ("n-3", "ben"), ("n-4", "anna")):
        record = stores.history.notification(name)
        assert record is not None
        assert record.user_id == user_id
        assert record.event["content"] == "secret"
        assert record.outcomes[0].detail


def test_an_event_that_comes_to_an_id_of_a_forgotten_one_does_not_fill_it(stores: Stores) -> None:
    stores.history.append([outcome(1)])
    forget(stores)
    stores.history.append([outcome(1, at_ms=FORGOTTEN_MS + 1, pass_no=1)])
    record = stores.history.notification("n-1")
    assert record is not None
    assert record.event is None


def test_more_than_a_portion_is_stripped(stores: Stores) -> None:
    stores.history.append([outcome(number) for number in range(1203)])
    assert forget(stores)["notifications"] == 1203
    assert stores.history.by_user("anna").items == []


def test_a_late_inbox_entry_is_left_out(stores: Stores) -> None:
    forget(stores)
    stores.inbox.add([entry("late"), entry("new", at_ms=FORGOTTEN_MS + 1), entry("other", "ben")])
    assert [one.id for one in stores.inbox.list("anna").items] == ["new"]
    assert [one.id for one in stores.inbox.list("ben").items] == ["other"]


def test_a_row_parked_late_is_due_at_once(stores: Stores) -> None:
    forget(stores)
    stores.parked.park([parked("late"), parked("new", at_ms=FORGOTTEN_MS + 1), parked("other", "ben")])
    due = stores.parked.lease_due(now_ms=1, lease_until_ms=2, owner="o", limit=10)
    assert [row.delivery.id for row in due] == ["late"]


def test_a_users_rows_are_leased_due_or_not_but_not_anothers(stores: Stores) -> None:
    stores.parked.park([parked("a"), parked("b", due_at_ms=1), parked("c", "ben"), parked("d")])
    [held] = stores.parked.lease_due(now_ms=1, lease_until_ms=50, owner="scheduler", limit=1)
    lease = {"now_ms": 10, "lease_until_ms": 60, "owner": "me"}
    assert held.delivery.id == "b"
    assert len(stores.parked.lease_of_user("anna", **lease, limit=1)) == 1
    assert len(stores.parked.lease_of_user("anna", **lease, limit=9)) == 1
    assert stores.parked.lease_of_user("anna", **lease, limit=9) == []
    again = stores.parked.lease_of_user("anna", **(lease | {"now_ms": 60, "lease_until_ms": 90}), limit=9)
    assert sorted(row.delivery.id for row in again) == ["a", "b", "d"]


def test_where_somebody_was_forgotten_a_batch_costs_one_query_more(stores: Stores) -> None:
    with stores.statements() as before:
        stores.history.append([outcome(number, user_id=f"u-{number}") for number in range(400)])
    forget(stores)
    with stores.statements() as after:
        stores.history.append([outcome(number, user_id=f"u-{number}") for number in range(500, 900)])
    if stores.client is None:
        # Before there is one that finds nobody at all.
        assert len(after) == len(before) == 6
    else:
        # Users by the hundred, and none again after the write.
        assert sum("FROM forgotten_users" in statement for statement in after) == 4
