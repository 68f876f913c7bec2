"""Port ApiKeys."""

from __future__ import annotations

import pytest
from msgspec import structs

from app.domain.api_key import ApiKey, Scope
from app.domain.errors import StoreUnavailableError
from app.domain.rate import parse_rate
from tests.support.sql_stores import Stores

SHOP = ApiKey(
    id="0123456789ab",
    name="the shop's server",
    scopes=frozenset({Scope.SEND, Scope.READ}),
    digest=bytes(range(32)),
    created_at_ms=1_732_270_000_123,
    limit=parse_rate("600/10m:50"),
)
OTHER = ApiKey(id="ba9876543210", name="x", scopes=frozenset({Scope.ADMIN}), digest=b"\xff" * 32, created_at_ms=1)


def test_keys_come_back_as_they_were_added_oldest_first(stores: Stores) -> None:
    stores.api_keys.add(SHOP)
    stores.api_keys.add(OTHER)
    assert stores.api_keys.list() == [OTHER, SHOP]


def test_an_id_is_given_once(stores: Stores) -> None:
    stores.api_keys.add(SHOP)
    with pytest.raises(StoreUnavailableError):
        stores.api_keys.add(structs.replace(OTHER, id=SHOP.id))
    assert stores.api_keys.list() == [SHOP]


def test_revoking_is_for_good_and_keeps_its_first_time(stores: Stores) -> None:
    stores.api_keys.add(SHOP)
    stores.api_keys.add(OTHER)
    assert stores.api_keys.revoke(SHOP.id, 5) is True
    assert stores.api_keys.revoke(SHOP.id, 6) is True
    assert stores.api_keys.list() == [OTHER, structs.replace(SHOP, revoked_at_ms=5)]


def test_revoking_what_is_not_there_is_false(stores: Stores) -> None:
    assert stores.api_keys.revoke(SHOP.id, 5) is False


def test_the_latest_use_counts_in_whatever_order_processes_tell_of_theirs(stores: Stores) -> None:
    for key in (SHOP, OTHER):
        stores.api_keys.add(key)
    stores.api_keys.note_uses({SHOP.id: 20, OTHER.id: 7})
    stores.api_keys.note_uses({SHOP.id: 10, "nobody": 1})
    assert {key.id: key.last_used_at_ms for key in stores.api_keys.list()} == {SHOP.id: 20, OTHER.id: 7}


def test_no_use_asks_nothing(stores: Stores) -> None:
    with stores.statements() as statements:
        stores.api_keys.note_uses({})
    assert statements == []


def test_the_uses_of_many_keys_take_one_statement(stores: Stores) -> None:
    keys = [structs.replace(SHOP, id=f"many{number:08}", digest=bytes([number]) * 32) for number in range(50)]
    for key in keys:
        stores.api_keys.add(key)
    with stores.statements() as statements:
        stores.api_keys.note_uses({key.id: 100 + number for number, key in enumerate(keys)})
    assert len(statements) == 1
    assert {one.last_used_at_ms for one in stores.api_keys.list() if one.id.startswith("many")} == set(range(100, 150))
