"""What an API key looks like, what is stored of it, and what it may do."""

from __future__ import annotations

import re

import pytest
from msgspec import structs

from app.domain.api_key import ApiKey, Scope, is_token_of, make_key, new_token, token_id

SECRET = b"the service's"


def key_of(token: str, *scopes: Scope) -> ApiKey:
    return make_key(token, name="shop", scopes=scopes or (Scope.READ,), limit=None, secret=SECRET, now_ms=1)


def test_a_key_is_recognised_by_its_prefix_and_carries_its_id_and_256_random_bits() -> None:
    token = new_token()
    assert re.fullmatch(r"ntfy_[0-9a-f]{12}_[0-9a-f]{64}", token)
    assert token_id(token) == token[5:17]
    assert len({new_token() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "token", ["", "ntfy_", "x" * 82, "ntfy_0123456789ab_" + "g" * 64, "ntfy_0123456789AB_" + "0" * 64]
)
def test_what_is_no_key_has_no_id(token: str) -> None:
    assert token_id(token) is None
    assert token_id(new_token() + "\n") is None
    with pytest.raises(ValueError, match="is not a key"):
        key_of(token)


def test_only_the_key_itself_fits_and_only_under_the_same_secret() -> None:
    token = new_token()
    key = key_of(token)
    assert is_token_of(key, token, SECRET)
    assert not is_token_of(key, token[:-1] + ("0" if token[-1] != "0" else "1"), SECRET)
    assert not is_token_of(key, token, b"another")


def test_nothing_stored_holds_the_key() -> None:
    token = new_token()
    stored = repr(structs.asdict(key_of(token)))
    assert token not in stored
    assert token.rpartition("_")[2] not in stored


def test_admin_may_do_all_and_the_others_what_they_say() -> None:
    assert [scope for scope in Scope if key_of(new_token(), Scope.ADMIN).allows(scope)] == list(Scope)
    assert [scope for scope in Scope if key_of(new_token(), Scope.SEND).allows(scope)] == [Scope.SEND]
    assert [scope for scope in Scope if key_of(new_token(), Scope.READ).allows(scope)] == [Scope.READ]


@pytest.mark.parametrize(
    ("name", "scopes"), [("", [Scope.READ]), ("x" * 65, [Scope.READ]), ("a\nb", [Scope.READ]), ("x", [])]
)
def test_a_name_or_scopes_that_will_not_do_are_named(name: str, scopes: list[Scope]) -> None:
    with pytest.raises(ValueError, match="name" if scopes else "scopes"):
        make_key(new_token(), name=name, scopes=scopes, limit=None, secret=SECRET, now_ms=1)
