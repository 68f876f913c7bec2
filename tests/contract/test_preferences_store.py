"""Port PreferenceStore."""

from __future__ import annotations

from app.domain.users import Preferences, QuietHours
from tests.support.sql_stores import Stores

PICKY = Preferences(
    channels={"marketing": {"*": False, "email": True}, "*": {"sms": False}},
    muted_until_ms=1_800_000_000_000,
    quiet_hours=QuietHours(start="22:00", end="07:00"),
)


def test_preferences_come_back_as_they_were_put(stores: Stores) -> None:
    stores.preferences.put("anna", PICKY)
    assert stores.preferences.get("anna") == PICKY


def test_a_user_without_any_has_the_defaults(stores: Stores) -> None:
    assert stores.preferences.get("nobody") == Preferences()


def test_putting_again_replaces_them_whole(stores: Stores) -> None:
    stores.preferences.put("anna", PICKY)
    stores.preferences.put("anna", Preferences(muted_until_ms=5))
    assert stores.preferences.get("anna") == Preferences(muted_until_ms=5)


def test_many_are_found_in_one_statement_and_users_without_any_are_left_out(stores: Stores) -> None:
    stores.preferences.put("anna", PICKY)
    stores.preferences.put("bert", Preferences())
    with stores.statements() as statements:
        found = stores.preferences.get_many(["anna", "bert", *(f"user-{number}" for number in range(1000))])
    assert found == {"anna": PICKY, "bert": Preferences()}
    assert len(statements) == 1


def test_nobody_asks_nothing(stores: Stores) -> None:
    with stores.statements() as statements:
        assert stores.preferences.get_many([]) == {}
    assert statements == []
