"""The command `keys`, run in this process over a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.commands.keys import keys
from app.domain.api_key import Scope, is_token_of, token_id
from app.domain.rate import parse_rate
from app.settings import settings
from infrastructure import wiring


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NOTIFY_STATE_DIR", str(tmp_path))
    settings.cache_clear()
    wiring.migrate_stores(settings())
    yield
    settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments, catch_exceptions=False)


def listed(*arguments: str) -> Any:
    return json.loads(run("list", "--json", *arguments).stdout)


def test_a_key_is_shown_once_and_nothing_that_is_stored_holds_it(tmp_path: Path) -> None:
    result = run("create", "shop", "--scope", "send", "--scope", "read", "--limit", "100/m")
    token = result.stdout.strip()
    [key] = wiring.api_keys(settings()).list()
    assert token_id(token) == key.id
    assert is_token_of(key, token, wiring.secret(settings()))
    assert (key.name, key.scopes, key.limit) == ("shop", {Scope.SEND, Scope.READ}, parse_rate("100/m"))
    secret = token.rpartition("_")[2]
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert secret.encode() not in content
        assert bytes.fromhex(secret) not in content
    assert secret not in run("list").output
    assert secret not in run("list", "--all", "--json").output


def test_standard_output_has_the_key_alone_so_that_scripts_can_take_it() -> None:
    result = run("create", "shop", "--scope", "read")
    assert result.stdout.count("\n") == 1
    assert "not shown again" in result.stderr
    as_json = json.loads(run("create", "b", "--scope", "read", "--json").stdout)
    assert token_id(as_json["key"]) == as_json["id"]


def test_keys_are_listed_with_what_they_may_do_and_revoked_ones_on_demand() -> None:
    first = token_id(run("create", "first", "--scope", "admin").stdout.strip())
    second = token_id(run("create", "second", "--scope", "send", "--limit", "5/s:9").stdout.strip())
    assert run("revoke", str(first)).exit_code == 0
    assert [(key["id"], key["scopes"], key["limit"]) for key in listed()] == [(second, "send", "5/1s:9")]
    assert [key["revoked_at"] != "-" for key in listed("--all")] == [True, False]
    assert [key["last_used_at"] for key in listed()] == ["-"]


def test_revoking_what_is_not_there_is_told() -> None:
    result = run("revoke", "0123456789ab")
    assert (result.exit_code, result.output) == (1, "Error: no key 0123456789ab\n")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["shop"], "--scope"),
        (["shop", "--scope", "write"], "--scope"),
        (["shop", "--scope", "read", "--limit", "many"], "--limit"),
        (["", "--scope", "read"], "name"),
        (["a\nb", "--scope", "read"], "name"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(arguments: list[str], named: str) -> None:
    result = run("create", *arguments)
    assert result.exit_code == 2
    assert named in result.output
    assert listed("--all") == []
