"""Port CallbackReceivers."""

from __future__ import annotations

from msgspec import structs

from app.domain.callback import CallbackReceiver
from tests.support.sql_stores import Stores

SHOP = CallbackReceiver(
    key_id="0123456789ab",
    url="https://shop.example/hook?a=1&" + "x" * 2000,
    salt="00" * 16,
    since_ms=1_732_270_000_123,
    failing_since_ms=1_732_270_000_124,
    last_error="HTTP 500",
)
OTHER = CallbackReceiver(key_id="ba9876543210", url="https://other.example/", salt="ff" * 16, since_ms=1)


def test_receivers_come_back_as_they_were_put_by_key(stores: Stores) -> None:
    stores.callback_receivers.put(OTHER)
    stores.callback_receivers.put(SHOP)
    assert stores.callback_receivers.list() == [SHOP, OTHER]
    assert stores.callback_receivers.find([OTHER.key_id, "nobody"]) == {OTHER.key_id: OTHER}
    assert stores.callback_receivers.find({SHOP.key_id, OTHER.key_id}) == {SHOP.key_id: SHOP, OTHER.key_id: OTHER}


def test_a_key_has_one_receiver_and_the_last_one_counts(stores: Stores) -> None:
    stores.callback_receivers.put(SHOP)
    changed = structs.replace(SHOP, url="https://new.example/", salt="11" * 16, failing_since_ms=0)
    for _ in range(2):
        stores.callback_receivers.put(changed)
    assert stores.callback_receivers.list() == [changed]


def test_finding_nobody_asks_nothing(stores: Stores) -> None:
    with stores.statements() as statements:
        assert stores.callback_receivers.find(set()) == {}
    assert statements == []


def test_finding_many_takes_one_statement(stores: Stores) -> None:
    stores.callback_receivers.put(SHOP)
    with stores.statements() as statements:
        found = stores.callback_receivers.find({SHOP.key_id, *(f"{number:012}" for number in range(500))})
    assert list(found) == [SHOP.key_id]
    assert len(statements) == 1


def test_removing_is_told_once(stores: Stores) -> None:
    stores.callback_receivers.put(SHOP)
    stores.callback_receivers.put(OTHER)
    assert stores.callback_receivers.remove(SHOP.key_id) is True
    assert stores.callback_receivers.remove(SHOP.key_id) is False
    assert stores.callback_receivers.list() == [OTHER]


def test_one_is_disabled_once(stores: Stores) -> None:
    stores.callback_receivers.put(SHOP)
    stores.callback_receivers.put(OTHER)
    assert stores.callback_receivers.disable(SHOP, 9, "gone") is True
    assert stores.callback_receivers.disable(SHOP, 10, "failing") is False
    assert stores.callback_receivers.list() == [structs.replace(SHOP, disabled_at_ms=9, disabled_why="gone"), OTHER]


def test_one_that_was_changed_since_it_was_read_is_not_disabled(stores: Stores) -> None:
    stores.callback_receivers.put(SHOP)
    for before in (
        structs.replace(SHOP, url="https://old.example/"),
        structs.replace(SHOP, failing_since_ms=SHOP.failing_since_ms - 5),
        OTHER,
    ):
        assert stores.callback_receivers.disable(before, 9, "failing") is False
    assert stores.callback_receivers.list() == [SHOP]
