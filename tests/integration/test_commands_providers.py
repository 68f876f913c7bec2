"""The command `providers`, run in this process: real Redis, and a gateway that answers on a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.commands.providers import providers
from app.settings import settings
from infrastructure import wiring
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.webhook_receiver import Answer, WebhookReceiver, answering, status, webhook_receiver

NUMBER = "+442071838750"
FILE = """
[[provider]]
kind = "http_sms"
name = "gateway"
url = "http://127.0.0.1:PORT/send?key=s3cret-in-url"
headers = { Authorization = { env = "GATEWAY_KEY" }, X-Key = "s3cret-in-file" }
fields = { to = "{to}", text = "{text}", reference = "{delivery_id}" }
id_field = "id"
weight = 3
timeout_s = 1
rate = "20/h:3"

[[provider]]
kind = "twilio"
name = "spare"
account_sid = "AC0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
auth_token = "s3cret-token"
sender = "+15005550006"
"""


@pytest.fixture
def gateway() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _state(
    tmp_path: Path, redis_server: RedisServer, gateway: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    (tmp_path / "providers.toml").write_text(FILE.replace("PORT", str(gateway.port)))
    monkeypatch.setenv("NOTIFY_PROVIDERS", str(tmp_path / "providers.toml"))
    monkeypatch.setenv("GATEWAY_KEY", "s3cret-in-env")
    monkeypatch.setenv("NOTIFY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("NOTIFY_REDIS_URL", redis_server.url(1))
    settings.cache_clear()
    yield
    wiring.close()
    settings.cache_clear()


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(providers, arguments, catch_exceptions=False)
    assert "s3cret" not in result.output
    return result


def listed() -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(run("list", "--json").stdout)}


# list


def test_all_are_listed_with_what_is_known_of_them() -> None:
    found = listed()
    assert list(found) == ["smtp", "gateway", "spare", "webhook", "apprise", "in_app", "log"]
    assert found["gateway"] == {
        "channel": "sms",
        "name": "gateway",
        "kind": "http_sms",
        "weight": 3.0,
        "rate": "20/3600s:3",
        "timeout_s": 1.0,
        "health_percent": 100,
        "breaker": "closed",
        "disabled_at": None,
        "disabled_until": None,
        "by": None,
        "reason": None,
    }
    assert (found["spare"]["kind"], found["spare"]["rate"]) == ("twilio", None)
    assert found["webhook"]["breaker"] == "one a host"
    assert "gateway" in run("list").stdout


def test_health_and_breakers_are_everybodys() -> None:
    health, breakers = wiring.provider_health(settings()), wiring.breakers(settings())
    for _ in range(10):
        health.report("gateway", is_bad=True)
        breakers.report("spare", is_success=False)
    health.shares(["gateway"])
    found = listed()
    assert found["gateway"]["health_percent"] < 5
    assert found["spare"]["breaker"].startswith("open until 20")


def test_without_redis_the_settings_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.cache_clear()
    result = run("list", "--json")
    assert result.exit_code == 0
    assert "Warning: health, breakers and switches are not known" in result.stderr
    [gateway] = [one for one in json.loads(result.stdout) if one["name"] == "gateway"]
    assert (gateway["weight"], gateway["health_percent"], gateway["breaker"]) == (3.0, None, None)


# disable, enable


def test_one_is_disabled_for_a_time_with_a_reason_and_enabled_again() -> None:
    result = run("disable", "gateway", "--for", "30m", "--reason", "price \x1b[31m")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("gateway is disabled until 20")
    found = listed()["gateway"]
    assert (found["reason"], found["disabled_until"] > found["disabled_at"]) == ("price \x1b[31m", True)
    assert "\x1b" not in run("list").stdout
    assert run("enable", "gateway").stdout == "gateway is enabled\n"
    assert run("enable", "gateway").stdout == "gateway was not disabled\n"
    assert listed()["gateway"]["disabled_at"] is None


def test_it_is_warned_of_the_last_one_of_a_channel() -> None:
    assert run("disable", "gateway").stderr == ""
    result = run("disable", "spare")
    assert result.exit_code == 0
    assert result.stderr == "Warning: no provider of sms is left: its deliveries wait in Kafka.\n"


@pytest.mark.parametrize("command", [("disable",), ("enable",), ("test", "--to", NUMBER)], ids=lambda one: one[0])
def test_an_unknown_name_is_told_with_those_there_are(command: tuple[str, ...]) -> None:
    result = run(*command, "gatevay")
    assert result.exit_code == 1
    assert "no provider gatevay; there are smtp, gateway, spare, webhook, apprise, in_app, log" in result.stderr


@pytest.mark.parametrize("text", ["0s", "-5m", "soon", "5"])
def test_what_is_no_duration_is_wrong_usage(text: str) -> None:
    assert run("disable", "gateway", f"--for={text}").exit_code == 2


def test_a_switch_that_cannot_be_set_is_an_error_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    import manage

    monkeypatch.setenv("NOTIFY_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.cache_clear()
    result = CliRunner().invoke(manage.manage, ["providers", "disable", "gateway"])
    assert (result.exit_code, result.stdout) == (3, "")


# test


def test_one_message_goes_by_that_provider_alone_and_nothing_is_kept(
    gateway: WebhookReceiver, redis_server: RedisServer
) -> None:
    run("disable", "gateway")
    gateway.then(answering(200, b'{"id": "g-1"}'))
    result = run("test", "gateway", "--to", NUMBER, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told.pop("duration_ms") >= 0
    assert told == {"provider": "gateway", "channel": "sms", "result": "ok", "provider_id": "g-1", "detail": ""}
    [request] = gateway.requests
    body = json.loads(request.body)
    assert (body["to"], "gateway" in body["text"]) == (NUMBER, True)
    assert request.headers["authorization"] == "s3cret-in-env"
    assert listed()["gateway"]["health_percent"] == 100


@pytest.mark.parametrize(
    ("answer", "told"),
    [(status(500), "transient"), (status(400), "rejected"), (status(429, retry_after="5"), "throttled")],
    ids=["transient", "rejected", "throttled"],
)
def test_what_is_not_taken_is_told_by_its_class_and_by_the_exit_code(
    gateway: WebhookReceiver, answer: Answer, told: str
) -> None:
    gateway.then(*[answer] * 3)
    for _ in range(3):
        result = run("test", "gateway", "--to", NUMBER, "--json")
        assert (result.exit_code, json.loads(result.stdout)["result"]) == (1, told)
    assert (listed()["gateway"]["breaker"], listed()["gateway"]["health_percent"]) == ("closed", 100)


def test_a_wrong_address_is_refused_and_not_quoted(gateway: WebhookReceiver) -> None:
    result = run("test", "gateway", "--to", "me@example.com")
    assert result.exit_code == 1
    assert "rejected" in result.stdout
    assert "me@example.com" not in result.output
    assert gateway.requests == []


def test_a_test_counts_for_the_rate(gateway: WebhookReceiver) -> None:
    codes = [run("test", "gateway", "--to", NUMBER).exit_code for _ in range(4)]
    assert codes == [0, 0, 0, 1]
    assert len(gateway.requests) == 3
    assert "has no room for a call: its rate is 20/3600s:3" in run("test", "gateway", "--to", NUMBER).stderr
