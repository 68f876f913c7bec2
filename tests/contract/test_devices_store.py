"""Port Devices."""

from __future__ import annotations

from typing import Any

from app.domain.device import Device
from app.domain.ports import DeadDevice
from app.domain.users import User
from tests.support.sql_stores import Stores

MANY = 100


def device(device_id: str = "d1", user_id: str = "anna", **given: Any) -> Device:
    values: dict[str, Any] = {"platform": "fcm", "token": f"token of {device_id}", "app": "Shop", "registered_at_ms": 5}
    return Device(id=device_id, user_id=user_id, **(values | given))


def ids(stores: Stores, user_id: str = "anna") -> list[str]:
    return [one.id for one in stores.devices.of_user(user_id)]


def test_a_device_comes_back_as_it_was_registered(stores: Stores) -> None:
    anna = device(platform="webpush", token="https://push.example/" + "x" * 4000, locale="de-CH")
    assert stores.devices.register(anna, MANY) is True
    assert stores.devices.of_user("anna") == [anna]
    assert stores.devices.of_user("ben") == []


def test_registering_again_changes_it_and_is_not_new(stores: Stores) -> None:
    stores.devices.register(device(), MANY)
    again = device(app="Shop 2", registered_at_ms=9)
    assert stores.devices.register(again, MANY) is False
    assert stores.devices.register(again, MANY) is False
    assert stores.devices.of_user("anna") == [again]


def test_a_token_is_of_one_user_at_a_time(stores: Stores) -> None:
    stores.devices.register(device(), MANY)
    assert stores.devices.register(device(user_id="ben"), MANY) is True
    assert (ids(stores), ids(stores, "ben")) == ([], ["d1"])


def test_one_too_many_takes_the_place_of_that_registered_longest_ago(stores: Stores) -> None:
    for number, at_ms in enumerate((30, 10, 20)):
        stores.devices.register(device(f"d{number}", registered_at_ms=at_ms), 3)
    stores.devices.register(device("other", "ben", registered_at_ms=1), 3)
    stores.devices.register(device("d1", registered_at_ms=40), 3)
    assert ids(stores) == ["d1", "d0", "d2"]
    stores.devices.register(device("d3", registered_at_ms=50), 3)
    assert ids(stores) == ["d3", "d1", "d0"]
    stores.devices.register(device("d4", registered_at_ms=5), 1)
    assert ids(stores) == ["d4"], "the one that was just registered stays, whatever its clock says"
    assert ids(stores, "ben") == ["other"]


def test_several_users_are_one_query(stores: Stores) -> None:
    for one in (device("d1"), device("d2", registered_at_ms=9), device("d3", "ben")):
        stores.devices.register(one, MANY)
    with stores.statements() as statements:
        found = stores.devices.of_users(["anna", "ben", "nobody", "anna"])
    assert {user_id: [one.id for one in theirs] for user_id, theirs in found.items()} == {
        "anna": ["d2", "d1"],
        "ben": ["d3"],
    }
    assert len(statements) == 1
    assert stores.devices.of_users([]) == {}


def test_a_device_is_removed_by_its_user_only(stores: Stores) -> None:
    stores.devices.register(device(), MANY)
    assert stores.devices.remove("ben", "d1") is False
    assert stores.devices.remove("anna", "d1") is True
    assert stores.devices.remove("anna", "d1") is False


def test_dead_ones_go_but_those_that_moved_or_came_again(stores: Stores) -> None:
    for one in (device("d1"), device("d2"), device("d3", "ben"), device("d4", registered_at_ms=8)):
        stores.devices.register(one, MANY)
    dead = [DeadDevice("anna", name, 7) for name in ("d4", "d3", "d1", "never was")]
    for _ in range(2):
        stores.devices.remove_dead(dead)
    assert ids(stores) == ["d4", "d2"]
    assert ids(stores, "ben") == ["d3"]
    stores.devices.remove_dead([])


def test_devices_go_with_their_user(stores: Stores) -> None:
    for user_id in ("anna", "ben", "carl"):
        stores.users.put(User(id=user_id))
        stores.devices.register(device(f"of {user_id}", user_id), MANY)
    stores.users.delete("anna")
    stores.personal_data.remember("ben", 9)
    assert stores.personal_data.remove("ben", 9)["devices"] == 1
    assert [ids(stores, user_id) for user_id in ("anna", "ben", "carl")] == [[], [], ["of carl"]]
