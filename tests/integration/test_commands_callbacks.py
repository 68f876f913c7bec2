"""The command `keys callback`, run in this process over a real database and a real HTTP receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import structs
from standardwebhooks import Webhook

from app.commands.keys import keys
from app.domain.callback import CallbackReceiver, trial_callback
from app.domain.clock import now_ms
from app.settings import settings
from infrastructure import wiring
from tests.support.webhook_receiver import WebhookReceiver, status, webhook_receiver

URL = "https://shop.example/hook"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NOTIFY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("NOTIFY_WEBHOOK_ALLOW", "127.0.0.1/32")
    monkeypatch.setenv("NOTIFY_HTTP_AUTH", "keys")
    settings.cache_clear()
    wiring.migrate_stores(settings())
    yield
    settings.cache_clear()


@pytest.fixture
def hook() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
def key_id() -> str:
    made = run_keys("create", "shop", "--scope", "send", "--json")
    return str(json.loads(made.stdout)["id"])


def run_keys(*arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments, catch_exceptions=False)


def run(*arguments: str) -> Result:
    return run_keys("callback", *arguments)


def shown(*arguments: str) -> Any:
    return json.loads(run("show", "--json", *arguments).stdout)


def receiver(key_id: str) -> CallbackReceiver:
    return wiring.callback_receivers(settings()).find([key_id])[key_id]


def test_the_secret_is_shown_once_and_nothing_that_is_stored_holds_it(tmp_path: Path, key_id: str) -> None:
    result = run("set", key_id, URL)
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    secret = result.stdout.strip()
    assert secret.startswith("whsec_")
    assert "not shown again" in result.stderr
    for path in tmp_path.iterdir():
        assert secret.removeprefix("whsec_").encode() not in path.read_bytes()
    for told in (run("show"), run("show", key_id), run("show", "--json")):
        assert secret not in told.output


def test_another_url_keeps_the_secret_and_what_is_under_way(key_id: str) -> None:
    run("set", key_id, URL)
    before = receiver(key_id)
    result = run("set", key_id, "https://new.example/hook")
    assert result.stdout == ""
    assert "stays as it is" in result.stderr
    assert receiver(key_id) == structs.replace(before, url="https://new.example/hook")


def test_another_secret_is_made_on_demand(key_id: str) -> None:
    first = json.loads(run("set", key_id, URL, "--json").stdout)
    again = json.loads(run("set", key_id, URL, "--json").stdout)
    second = json.loads(run("set", key_id, URL, "--new-secret", "--json").stdout)
    assert (first["key"], first["url"], again["secret"]) == (key_id, URL, None)
    assert first["secret"] != second["secret"]


def test_one_that_was_disabled_begins_anew(key_id: str) -> None:
    run("set", key_id, URL)
    before = receiver(key_id)
    store = wiring.callback_receivers(settings())
    store.put(structs.replace(before, since_ms=5, failing_since_ms=6))
    run("set", key_id, URL)
    assert (receiver(key_id).since_ms, receiver(key_id).failing_since_ms) == (5, 6), "one that lives goes on"
    store.put(structs.replace(before, since_ms=5, failing_since_ms=6, disabled_at_ms=7, disabled_why="failing"))
    run("set", key_id, URL)
    after = receiver(key_id)
    assert after.since_ms >= before.since_ms
    assert after == structs.replace(before, since_ms=after.since_ms)


def test_what_waits_and_what_fails_is_shown_with_the_keys_name(key_id: str) -> None:
    other = json.loads(run_keys("create", "other", "--scope", "send", "--json").stdout)["id"]
    for each in (key_id, other):
        run("set", each, URL)
    store, pending = wiring.callback_receivers(settings()), wiring.pending_callbacks(settings())
    store.put(structs.replace(receiver(other), disabled_at_ms=now_ms(), disabled_why="gone"))
    pending.add([trial_callback(receiver(key_id), now_ms()) for _ in range(2)])
    rows = {row["name"]: row for row in shown()}
    assert (rows["shop"]["waiting"], rows["shop"]["disabled_at"]) == (2, "-")
    assert (rows["other"]["waiting"], rows["other"]["disabled_why"]) == (0, "gone")
    assert shown(key_id) == rows["shop"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://shop.example/hook", "not https"),
        ("https://10.0.0.1/", "not a public address"),
        ("shop.example", "not an http(s) URL"),
    ],
)
def test_a_url_that_none_may_go_to_is_refused_and_nothing_is_stored(key_id: str, url: str, why: str) -> None:
    result = run("set", key_id, url)
    assert result.exit_code == 2
    assert "URL" in result.output
    assert why in result.output
    assert shown() == []


def test_a_key_that_is_not_there_or_revoked_gets_none(key_id: str) -> None:
    result = run("set", "0123456789ab", URL)
    assert (result.exit_code, result.output) == (1, "Error: no key 0123456789ab\n")
    run_keys("revoke", key_id)
    result = run("set", key_id, URL)
    assert (result.exit_code, result.output) == (1, f"Error: key {key_id} is revoked\n")
    assert shown() == []


@pytest.mark.parametrize("command", ["show", "test", "remove"])
def test_a_key_without_a_callback_is_told(key_id: str, command: str) -> None:
    result = run(command, key_id)
    assert (result.exit_code, result.output) == (1, f"Error: no callback of key {key_id}\n")


def test_where_nobody_shows_a_key_that_is_said(key_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NOTIFY_HTTP_AUTH" not in run("set", key_id, URL).stderr
    monkeypatch.setenv("NOTIFY_HTTP_AUTH", "none")
    settings.cache_clear()
    assert "NOTIFY_HTTP_AUTH" in run("set", key_id, URL).stderr


def test_a_test_calls_once_and_tells_what_came_of_it(key_id: str, hook: WebhookReceiver) -> None:
    secret = run("set", key_id, hook.url).stdout.strip()
    taken = run("test", key_id, "--json")
    assert (taken.exit_code, json.loads(taken.stdout)["result"]) == (0, "taken")
    [request] = hook.requests
    assert Webhook(secret).verify(request.body, request.headers)["type"] == "callback.test"
    hook.then(status(410))
    refused = run("test", key_id, "--json")
    told = json.loads(refused.stdout)
    assert (refused.exit_code, told["result"], told["detail"]) == (1, "not_taken", "HTTP 410")
    assert receiver(key_id).disabled_at_ms == 0
    assert shown(key_id)["waiting"] == 0


def test_removing_ends_it(key_id: str) -> None:
    run("set", key_id, URL)
    assert run("remove", key_id).exit_code == 0
    assert shown() == []
