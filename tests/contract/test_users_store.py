"""Port Users."""

from __future__ import annotations

import pytest
from msgspec import structs

from app.domain.ports import InboxEntry
from app.domain.users import Contacts, Preferences, Recipient, User
from tests.support.sql_stores import Stores

ANNA = User(id="anna", contacts=Contacts(email="anna@example.com", chat="@anna"), locale="de", timezone="Europe/Berlin")


def test_a_user_comes_back_as_it_was_put(stores: Stores) -> None:
    assert stores.users.put(ANNA) is True
    assert stores.users.get("anna") == ANNA


def test_an_unknown_user_is_none(stores: Stores) -> None:
    assert stores.users.get("nobody") is None


def test_putting_again_replaces_the_user_whole_and_says_that_it_was_there(stores: Stores) -> None:
    stores.users.put(ANNA)
    assert stores.users.put(User(id="anna", contacts=Contacts(phone="+491"))) is False
    assert stores.users.get("anna") == User(id="anna", contacts=Contacts(phone="+491"), locale="en", timezone="UTC")


def test_putting_the_same_again_is_not_new(stores: Stores) -> None:
    stores.users.put(ANNA)
    assert stores.users.put(ANNA) is False


def test_ids_that_differ_in_case_or_trailing_blanks_are_different_users(stores: Stores) -> None:
    ids = ["anna", "Anna", "anna ", "änna"]
    assert [stores.users.put(User(id=user_id)) for user_id in ids] == [True] * 4
    assert set(stores.users.recipients(ids)) == set(ids)


def test_forgetting_a_user_takes_preferences_and_inbox_along_and_leaves_others_alone(stores: Stores) -> None:
    for user_id in ("anna", "bert"):
        stores.users.put(User(id=user_id))
        stores.preferences.put(user_id, Preferences(muted_until_ms=1))
        stores.inbox.add([_entry(user_id)])

    assert stores.users.delete("anna") is True

    assert stores.users.get("anna") is None
    assert set(stores.preferences.get_many(["anna", "bert"])) == {"bert"}
    assert stores.inbox.list("anna").items == []
    assert stores.inbox.unread_count("bert") == 1
    assert stores.users.get("bert") is not None


def test_forgetting_an_unknown_user_is_false(stores: Stores) -> None:
    assert stores.users.delete("nobody") is False


def test_users_are_listed_in_order_of_id_from_behind_a_given_one(stores: Stores) -> None:
    for user_id in ("c", "a", "d", "b"):
        stores.users.put(User(id=user_id))
    assert [user.id for user in stores.users.list(limit=3)] == ["a", "b", "c"]
    assert [user.id for user in stores.users.list(after="b", limit=3)] == ["c", "d"]


def test_recipients_are_the_known_users_only(stores: Stores) -> None:
    stores.users.put(ANNA)
    found = stores.users.recipients(["anna", "nobody", "anna"])
    anna = Recipient(user_id="anna", contacts=ANNA.contacts, locale="de", timezone="Europe/Berlin", is_known=True)
    assert {user_id: structs.replace(one, version=None) for user_id, one in found.items()} == {"anna": anna}


def test_versions_grow_with_each_change_and_over_deleting(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def version() -> int:
        return stores.users.recipients(["anna"])["anna"].version or 0

    def of_preferences() -> int:
        return stores.preferences.stored(["anna"])["anna"].version

    now_ms = 1_900_000_000_000
    monkeypatch.setattr("infrastructure.sql.versions.now_ms", lambda: now_ms)
    seen = []
    for _ in range(3):  # the clock stands
        stores.users.put(ANNA)
        stores.preferences.put("anna", Preferences())
        seen.append((version(), of_preferences()))
    assert seen == [(now_ms + number, now_ms + number) for number in range(3)]
    stores.users.delete("anna")
    now_ms += 1000
    stores.users.put(ANNA)
    stores.preferences.put("anna", Preferences())
    assert (version(), of_preferences()) == (now_ms, now_ms)


def test_recipients_of_a_full_batch_take_one_statement(stores: Stores) -> None:
    stores.users.put(ANNA)
    with stores.statements() as statements:
        found = stores.users.recipients(["anna", *(f"user-{number}" for number in range(1000))])
    assert set(found) == {"anna"}
    assert len(statements) == 1


def test_recipients_of_nobody_ask_nothing(stores: Stores) -> None:
    with stores.statements() as statements:
        assert stores.users.recipients([]) == {}
    assert statements == []


def _entry(user_id: str) -> InboxEntry:
    return InboxEntry(
        id=f"d-{user_id}",
        notification_id="n",
        user_id=user_id,
        event_type="order_shipped",
        category="orders",
        subject="s",
        body="b",
        created_at_ms=1,
    )
