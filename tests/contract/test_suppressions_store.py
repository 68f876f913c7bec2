"""Ports Suppressions and SoftBounces."""

from __future__ import annotations

import pytest
import sqlalchemy

from app.domain.suppression import Destination, SuppressionReason
from app.domain.users import User
from tests.support.sql_stores import Stores

ANNA, BEN = Destination("email", "anna@example.com"), Destination("sms", "+442071838750")
HARD, SOFT, COMPLAINT, STOP, OPERATOR = (
    *(SuppressionReason.HARD_BOUNCE, SuppressionReason.SOFT_BOUNCES, SuppressionReason.COMPLAINT),
    *(SuppressionReason.STOP, SuppressionReason.OPERATOR),
)


def suppress(
    stores: Stores, place: Destination = ANNA, reason: SuppressionReason = HARD, at_ms: int = 5, user_id: str = ""
) -> bool:
    return stores.suppressions.suppress(place, reason, since_ms=at_ms, user_id=user_id, shown=f"{place.address[0]}***")


def reasons(stores: Stores, *places: Destination) -> list[str]:
    found = stores.suppressions.find(places or (ANNA,))
    return [found.get(place, "") for place in places or (ANNA,)]


def rows(stores: Stores) -> str:
    """All that is stored."""
    with stores.engines[0].connect() as connection:
        tables = ("suppressions", "soft_bounces")
        found = [connection.execute(sqlalchemy.text(f"SELECT * FROM {name}")).all() for name in tables]  # noqa: S608 - names of ours
    return str(found)


def test_an_address_is_suppressed_once_for_a_reason(stores: Stores) -> None:
    assert [suppress(stores, at_ms=at_ms) for at_ms in (5, 9, 1)] == [True, False, False]
    assert reasons(stores, ANNA, BEN) == ["hard_bounce", ""]
    [listed] = stores.suppressions.list()
    assert (listed.channel, listed.reason, listed.since_ms, listed.shown) == ("email", "hard_bounce", 5, "a***")


def test_case_makes_no_other_address_and_the_channel_does(stores: Stores) -> None:
    suppress(stores)
    shouted, elsewhere = Destination("email", "Anna@Example.COM"), Destination("sms", ANNA.address)
    assert reasons(stores, shouted, elsewhere, ANNA) == ["hard_bounce", "", "hard_bounce"]


def test_of_several_reasons_the_first_is_told(stores: Stores) -> None:
    suppress(stores, reason=COMPLAINT, at_ms=9)
    suppress(stores, reason=HARD, at_ms=7)
    assert reasons(stores) == ["hard_bounce"]
    assert [one.reason for one in stores.suppressions.list()] == ["complaint", "hard_bounce"]
    assert [one.reason for one in stores.suppressions.list(reason="hard_bounce")] == ["hard_bounce"]
    assert [one.reason for one in stores.suppressions.list(limit=1)] == ["complaint"]


def test_what_is_lifted_holds_no_more_and_old_news_does_not_bring_it_back(stores: Stores) -> None:
    suppress(stores, at_ms=5)
    assert [stores.suppressions.lift(ANNA, at_ms) for at_ms in (8, 9)] == [1, 0]
    assert (reasons(stores), stores.suppressions.list()) == ([""], [])
    assert suppress(stores, at_ms=5) is False, "the same report again"
    assert suppress(stores, at_ms=8) is False
    assert reasons(stores) == [""]
    assert suppress(stores, at_ms=10) is True
    assert [one.since_ms for one in stores.suppressions.list()] == [10]


def test_what_is_lifted_is_lifted_whatever_the_clocks_say(stores: Stores) -> None:
    suppress(stores, at_ms=100)
    assert stores.suppressions.lift(ANNA, 50) == 1
    assert reasons(stores) == [""]
    assert suppress(stores, at_ms=100) is False


def test_start_lifts_stop_and_nothing_else(stores: Stores) -> None:
    suppress(stores, BEN, STOP, at_ms=5)
    suppress(stores, BEN, HARD, at_ms=6)
    assert stores.suppressions.lift(BEN, 9, [STOP]) == 1
    assert reasons(stores, BEN) == ["hard_bounce"]
    assert stores.suppressions.lift(ANNA, 9, [STOP]) == 0


def test_many_addresses_are_one_query(stores: Stores) -> None:
    suppress(stores)
    suppress(stores, BEN, STOP)
    others = [Destination("email", f"{number}@example.com") for number in range(1000)]
    with stores.statements() as statements:
        found = stores.suppressions.find([*others, ANNA, BEN])
    assert found == {ANNA: "hard_bounce", BEN: "stop"}
    assert len(statements) == 1
    assert stores.suppressions.find([]) == {}


def test_no_address_is_stored(stores: Stores) -> None:
    suppress(stores)
    suppress(stores, BEN, STOP)
    stores.soft_bounces.count(ANNA, "d-1", at_ms=5, since_ms=0)
    assert "a***" in rows(stores)
    for part in ("anna", "example", "2071838750"):
        assert part not in rows(stores)


def test_a_forgotten_users_stays_and_tells_nothing(stores: Stores) -> None:
    stores.users.put(User(id="user-001"))
    suppress(stores, user_id="user-001")
    suppress(stores, BEN, STOP, user_id="user-002")
    stores.personal_data.remember("user-001", 9)
    stores.personal_data.remove("user-001", 9)
    assert reasons(stores, ANNA, BEN) == ["hard_bounce", "stop"]
    assert sorted(one.shown for one in stores.suppressions.list()) == ["", "+***"]
    assert "user-001" not in rows(stores)
    assert "user-002" in rows(stores)


def test_whose_it_is_may_be_known_later(stores: Stores) -> None:
    stores.suppressions.suppress(ANNA, HARD, since_ms=5)
    assert suppress(stores, user_id="user-001") is False
    assert suppress(stores, user_id="user-002") is False
    [listed] = stores.suppressions.list()
    assert (listed.shown, listed.since_ms) == ("a***", 5)
    assert "user-001" in rows(stores)


@pytest.mark.parametrize("shown", ["x" * 300, ""])
def test_what_is_shown_fits(stores: Stores, shown: str) -> None:
    stores.suppressions.suppress(ANNA, OPERATOR, since_ms=1, shown=shown)
    assert [one.shown for one in stores.suppressions.list()] == [shown[:255]]


def test_another_process_knows_at_once(stores: Stores, other_process: Stores) -> None:
    suppress(stores)
    assert reasons(other_process) == ["hard_bounce"]
    other_process.suppressions.lift(ANNA, 9)
    assert reasons(stores) == [""]


# soft bounces


def count(stores: Stores, delivery_id: str, at_ms: int, since_ms: int = 0, place: Destination = ANNA) -> int:
    return stores.soft_bounces.count(place, delivery_id, at_ms=at_ms, since_ms=since_ms)


def test_each_delivery_counts_once(stores: Stores) -> None:
    assert [count(stores, name, at_ms) for name, at_ms in (("a", 1), ("b", 2), ("a", 3), ("b", 2))] == [1, 2, 2, 2]
    assert count(stores, "c", 4, place=BEN) == 1


def test_what_is_long_ago_counts_no_more(stores: Stores) -> None:
    for name, at_ms in (("a", 1), ("b", 5)):
        count(stores, name, at_ms)
    assert count(stores, "c", 9, since_ms=5) == 2
    assert count(stores, "d", 20, since_ms=20) == 1


def test_what_is_delivered_forgives_all(stores: Stores) -> None:
    for name in ("a", "b"):
        count(stores, name, 1)
    count(stores, "a", 1, place=BEN)
    for _ in range(2):
        stores.soft_bounces.forgive(ANNA)
    assert count(stores, "c", 2) == 1
    assert count(stores, "b", 2, place=BEN) == 2


def test_to_forgive_nothing_writes_nothing(stores: Stores) -> None:
    with stores.statements() as statements:
        stores.soft_bounces.forgive(ANNA)
    assert [one.split()[0] for one in statements] == ["SELECT"]


def test_an_operators_lifting_forgives_too(stores: Stores) -> None:
    count(stores, "a", 1)
    suppress(stores, reason=SOFT)
    stores.suppressions.lift(ANNA, 9, [STOP])
    assert count(stores, "b", 2) == 2
    stores.suppressions.lift(ANNA, 9)
    assert count(stores, "c", 3) == 1
