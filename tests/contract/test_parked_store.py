"""Port ParkedStore."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from msgspec import structs

from app.domain.clock import now_ms
from app.domain.delivery import Delivery, Parked
from app.domain.event import Event
from app.domain.lane import Priority
from app.domain.outcome import Reason
from app.domain.parked_choice import ParkedChoice
from tests.support.sql_stores import Stores

NOW = 1_000_000


def parked(
    name: str,
    *,
    priority: Priority = Priority.MEDIUM,
    due_at_ms: int = NOW,
    pass_no: int = 0,
    reason: str = Reason.QUIET_HOURS,
    channel: str = "email",
) -> Parked:
    delivery = Delivery(
        id=name,
        notification_id="n",
        channel=channel,
        priority=priority,
        event=Event(user_id="anna", event_type="order_shipped", content={"text": "\N{PARTY POPPER}"}),
        accepted_at_ms=1,
        routed_at_ms=2,
        expires_at_ms=3,
        pass_no=pass_no,
        retries=2,
        slot_at_ms=4,
    )
    return Parked(delivery=delivery, due_at_ms=due_at_ms, reason=reason)


def lease(stores: Stores, owner: str = "one", *, now_ms: int = NOW, limit: int = 100) -> list[Parked]:
    return stores.parked.lease_due(now_ms=now_ms, lease_until_ms=now_ms + 1000, owner=owner, limit=limit)


def names(rows: list[Parked]) -> list[str]:
    return [row.delivery.id for row in rows]


def test_a_due_delivery_comes_back_as_it_was_parked(stores: Stores) -> None:
    stores.parked.park([parked("a")])
    assert lease(stores) == [parked("a")]


def test_one_that_is_not_due_stays(stores: Stores) -> None:
    stores.parked.park([parked("a", due_at_ms=NOW + 1)])
    assert lease(stores) == []
    assert names(lease(stores, now_ms=NOW + 1)) == ["a"]


def test_high_comes_first_then_by_due_time(stores: Stores) -> None:
    stores.parked.park(
        [
            parked("low", priority=Priority.LOW, due_at_ms=1),
            parked("late", due_at_ms=9),
            parked("early", due_at_ms=3),
            parked("high", priority=Priority.HIGH, due_at_ms=NOW),
        ]
    )
    assert names(lease(stores, limit=3)) == ["high", "early", "late"]
    assert names(lease(stores, limit=3)) == ["low"]


def test_parking_again_keeps_the_first_row(stores: Stores) -> None:
    stores.parked.park([parked("a", due_at_ms=5)])
    stores.parked.park([parked("a", due_at_ms=NOW + 5000), parked("b", due_at_ms=6)])
    assert [(row.delivery.id, row.due_at_ms) for row in lease(stores)] == [("a", 5), ("b", 6)]


def test_the_next_pass_is_a_row_of_its_own(stores: Stores) -> None:
    stores.parked.park([parked("a", pass_no=0), parked("a", pass_no=1, due_at_ms=NOW - 1)])
    lease(stores)
    stores.parked.remove([("a", 0)], "one")
    assert [row.delivery.pass_no for row in lease(stores, now_ms=NOW + 1000)] == [1]


def test_a_batch_larger_than_a_statement_is_parked_whole_and_leased_in_portions(stores: Stores) -> None:
    stores.parked.park([parked(f"d-{number:04}") for number in range(1200)])
    first, second = lease(stores, limit=700), lease(stores, limit=700)
    assert (len(first), len(second)) == (700, 500)
    assert len(set(names(first + second))) == 1200
    stores.parked.remove([(name, 0) for name in names(first + second)], "one")
    assert stores.parked.counts() == {}


def test_a_leased_row_is_nobody_elses_until_the_lease_ends(stores: Stores) -> None:
    stores.parked.park([parked("a")])
    assert names(lease(stores, "one")) == ["a"]
    assert lease(stores, "one") == []
    assert lease(stores, "two", now_ms=NOW + 999) == []
    assert names(lease(stores, "two", now_ms=NOW + 1000)) == ["a"]


def test_only_the_holder_removes_a_row(stores: Stores) -> None:
    stores.parked.park([parked("a")])
    lease(stores, "one")
    lease(stores, "two", now_ms=NOW + 1000)
    stores.parked.remove([("a", 0)], "one")
    assert stores.parked.counts() == {"medium.email": {"quiet_hours": 1}}
    stores.parked.remove([("a", 0)], "two")
    assert stores.parked.counts() == {}


def test_a_row_that_was_never_leased_cannot_be_removed(stores: Stores) -> None:
    stores.parked.park([parked("a")])
    stores.parked.remove([("a", 0)], "one")
    assert names(lease(stores)) == ["a"]


def test_nothing_to_park_or_remove_is_harmless(stores: Stores) -> None:
    stores.parked.park([])
    stores.parked.remove([], "one")
    assert lease(stores) == []


def test_schedulers_at_the_same_time_never_take_the_same_row(stores: Stores) -> None:
    """Some of them are clients that cancel, and all remove what they took. Twenty times: it is a matter of luck."""

    def take_all(owner: str) -> list[str]:
        taken: list[str] = []
        while rows := lease(stores, owner, limit=20):
            taken += names(rows)
            stores.parked.remove([(row.delivery.id, 0) for row in rows], owner)
        return taken

    def take_some(owner: str) -> list[str]:
        rows = [row for number in range(0, 100, 9) for row in lease_of(stores, f"d-{number:03}", owner=owner)]
        return names(rows) + take_all(owner)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            stores.parked.park([parked(f"d-{number:03}") for number in range(100)])
            owners = [*((take_all, owner) for owner in ("one", "two", "three")), (take_some, "client")]
            taken = [name for found in pool.map(lambda one: one[0](one[1]), owners) for name in found]
            assert len(taken) == len(set(taken)) == 100
            stores.parked.remove([(name, 0) for name in taken], "client")
            assert stores.parked.counts() == {}


def test_counts_are_by_queue_and_reason(stores: Stores) -> None:
    limited = Reason.RATE_LIMITED_USER
    stores.parked.park(
        [
            parked("a"),
            parked("b", due_at_ms=NOW + 5000),
            parked("c", reason=limited),
            parked("d", priority=Priority.HIGH, channel="sms", reason=limited),
        ]
    )
    lease(stores)
    assert stores.parked.counts() == {
        "medium.email": {"quiet_hours": 2, "rate_limited_user": 1},
        "high.sms": {"rate_limited_user": 1},
    }


def test_the_delivery_keeps_all_its_fields(stores: Stores) -> None:
    row = parked("a")
    full = structs.replace(row, delivery=structs.replace(row.delivery, attempt=3))
    stores.parked.park([full])
    assert lease(stores) == [full]


# by whom they are for


def lease_of(stores: Stores, *names: str, owner: str = "client", now_ms: int = NOW) -> list[Parked]:
    return stores.parked.lease_of(names, now_ms=now_ms, lease_until_ms=now_ms + 1000, owner=owner)


def test_rows_are_taken_by_delivery_whenever_they_are_due(stores: Stores) -> None:
    late = NOW + 10**9
    stores.parked.park([parked("a", due_at_ms=late), parked("a", pass_no=1), parked("b"), parked("c")])
    found = lease_of(stores, "a", "b", "none")
    assert sorted((row.delivery.id, row.delivery.pass_no) for row in found) == [("a", 0), ("a", 1), ("b", 0)]
    assert lease_of(stores) == []


def test_a_row_has_one_holder_the_scheduler_or_a_client(stores: Stores) -> None:
    stores.parked.park([parked("a"), parked("b")])
    assert names(lease_of(stores, "a")) == ["a"]
    assert names(lease(stores)) == ["b"]
    assert lease_of(stores, "a", "b", owner="another") == []
    stores.parked.remove([("a", 0), ("b", 0)], "client")
    assert names(lease_of(stores, "a", "b", now_ms=NOW + 2000)) == ["b"]


def counted(stores: Stores, **choice: object) -> int:
    found = stores.parked.counts(ParkedChoice(**choice))  # type: ignore[arg-type]
    return sum(sum(reasons.values()) for reasons in found.values())


def four(stores: Stores) -> int:
    """Park four different ones, the last of them later; the time between."""
    limited = Reason.RATE_LIMITED_USER
    stores.parked.park(
        [
            parked("a", due_at_ms=NOW - 5),
            parked("b", due_at_ms=NOW + 5000),
            parked("c", due_at_ms=NOW + 9000, reason=limited),
        ]
    )
    time.sleep(0.01)
    between = now_ms()
    stores.parked.park([parked("d", priority=Priority.HIGH, channel="sms", reason=limited, due_at_ms=NOW + 7000)])
    return between


def test_a_choice_is_all_that_is_given(stores: Stores) -> None:
    between = four(stores)
    assert counted(stores) == 4
    assert counted(stores, queue="high.sms") == 1
    assert counted(stores, reason="rate_limited_user") == 2
    assert counted(stores, reason="rate_limited_user", queue="medium.email") == 1
    assert counted(stores, due_before_ms=NOW + 7000) == 2
    assert counted(stores, parked_from_ms=between) == 1
    assert counted(stores, parked_until_ms=between) == 3
    assert counted(stores, parked_from_ms=between, due_before_ms=NOW + 7000) == 0


def test_the_chosen_are_listed_in_order_of_service(stores: Stores) -> None:
    four(stores)
    lease(stores)
    rows = stores.parked.choose(ParkedChoice(), now_ms=NOW, limit=3)
    assert [(row.delivery.id, row.is_leased) for row in rows] == [("d", False), ("a", True), ("b", False)]
    assert all(abs(row.parked_at_ms - now_ms()) < 60_000 for row in rows)
    assert rows[0].due_at_ms == NOW + 7000


def test_what_is_made_due_can_be_leased_and_what_is_due_or_held_is_left(stores: Stores) -> None:
    four(stores)
    assert names(lease(stores)) == ["a"]
    assert stores.parked.make_due(ParkedChoice(), now_ms=NOW, limit=2) == 2
    assert names(lease(stores)) == ["d", "b"]
    assert stores.parked.make_due(ParkedChoice(), now_ms=NOW, limit=2) == 1
    assert stores.parked.make_due(ParkedChoice(), now_ms=NOW, limit=2) == 0


def test_chosen_rows_are_leased_whether_due_or_not(stores: Stores) -> None:
    four(stores)

    def take(owner: str, choice: ParkedChoice, now: int = NOW) -> list[str]:
        return names(stores.parked.lease_chosen(choice, now_ms=now, lease_until_ms=now + 10, owner=owner, limit=9))

    assert take("one", ParkedChoice(reason="rate_limited_user")) == ["d", "c"]
    assert take("two", ParkedChoice()) == ["a", "b"]
    assert take("two", ParkedChoice()) == []
    assert take("two", ParkedChoice(), NOW + 10) == ["d", "a", "b", "c"]


def test_only_the_holder_hastens_a_row_and_keeps_its_lease(stores: Stores) -> None:
    stores.parked.park([parked("a", due_at_ms=NOW + 5000)])
    stores.parked.lease_chosen(ParkedChoice(), now_ms=NOW, lease_until_ms=NOW + 10, owner="one", limit=1)
    stores.parked.hasten([("a", 0)], "two", NOW)
    assert lease(stores, now_ms=NOW + 10) == []
    stores.parked.hasten([("a", 0)], "one", NOW)
    assert lease(stores, now_ms=NOW + 9) == []
    assert names(lease(stores, now_ms=NOW + 10)) == ["a"]


def test_the_highest_pass_of_what_is_parked(stores: Stores) -> None:
    stores.parked.park([parked("a"), parked("a", pass_no=3), parked("b", pass_no=1)])
    assert stores.parked.passes(["a", "b", "c"]) == {"a": 3, "b": 1}
    assert stores.parked.passes([]) == {}


def test_a_batch_takes_no_more_statements_than_one_row(stores: Stores) -> None:
    counts = []
    for batch in (["first"], ["one"], [f"many-{number}" for number in range(50)]):
        with stores.statements() as parking:
            stores.parked.park([parked(name) for name in batch])
        with stores.statements() as leasing:
            assert len(lease(stores)) == len(batch)
        with stores.statements() as removing:
            stores.parked.remove([(name, 0) for name in batch], "one")
        counts.append((len(parking), len(leasing), len(removing)))
    _, of_one, of_many = counts  # the first also asked whether anybody was ever forgotten
    assert of_one == of_many
    assert of_many[0] == 1
