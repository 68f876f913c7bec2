"""The command `push`, and one real message to APNs and to a browser by `providers test`."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.commands.providers import providers
from app.commands.push import push
from app.settings import settings
from infrastructure import wiring
from infrastructure.channels import es256
from infrastructure.channels.vapid import new_key_pair
from tests.support.apns_stand_in import KEY, KEY_ID, TEAM_ID, TOPIC, ApnsStandIn, apns_stand_in, refused
from tests.support.browser import Browser
from tests.support.certificate import make_certificate
from tests.support.redis_server import RedisServer
from tests.support.webhook_receiver import WebhookReceiver, status, webhook_receiver

TOKEN = "cafe" * 16
FILE = """
[[provider]]
kind = "apns"
name = "apple"
key = {{ file = "{folder}/key.p8" }}
key_id = "{key_id}"
team_id = "{team_id}"
topic = "{topic}"
url = "{url}"

[[provider]]
kind = "webpush"
name = "browsers"
private_key = {{ file = "{folder}/vapid.pem" }}
subject = "mailto:ops@example.com"
"""


def run(*arguments: str, command: Any = push) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


# keys


def test_a_private_key_is_written_for_its_owner_alone_and_the_public_one_shown(tmp_path: Path) -> None:
    file = tmp_path / "vapid.pem"
    result = run("keys", "--out", str(file))
    assert result.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = es256.read_key(file.read_text())
    assert result.stdout.strip() == es256.base64url(es256.point_of(key))
    assert "PRIVATE" not in result.output


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "vapid.pem"
    file.write_text("what browsers have subscribed with")
    result = run("keys", "--out", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{file} is there already; nothing was written" in result.stderr
    assert file.read_text() == "what browsers have subscribed with"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = run("keys", "--out", str(tmp_path / "nowhere" / "vapid.pem"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_without_a_file_the_private_key_goes_to_standard_output_alone() -> None:
    result = run("keys")
    key = es256.read_key(result.stdout)
    assert es256.base64url(es256.point_of(key)) in result.stderr
    assert "PRIVATE" not in result.stderr


def test_as_json_the_private_key_is_there_where_no_file_has_it(tmp_path: Path) -> None:
    both = json.loads(run("keys", "--json").stdout)
    assert es256.base64url(es256.point_of(es256.read_key(both["private_key"]))) == both["public_key"]
    file = tmp_path / "vapid.pem"
    shown = json.loads(run("keys", "--json", "--out", str(file)).stdout)
    assert list(shown) == ["public_key"]


def test_no_two_pairs_are_alike() -> None:
    assert run("keys").stdout != run("keys").stdout


# providers test


@pytest.fixture
def service(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ApnsStandIn, WebhookReceiver]]:
    certificate = make_certificate(tmp_path)
    (tmp_path / "key.p8").write_text(KEY)
    (tmp_path / "vapid.pem").write_text(new_key_pair().private)
    with apns_stand_in(certificate.server) as apple, webhook_receiver(certificate.another_server()) as browsers:
        file = tmp_path / "providers.toml"
        file.write_text(FILE.format(folder=tmp_path, key_id=KEY_ID, team_id=TEAM_ID, topic=TOPIC, url=apple.url))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        monkeypatch.setenv("NOTIFY_PROVIDERS", str(file))
        monkeypatch.setenv("NOTIFY_WEBHOOK_ALLOW", "127.0.0.1/32")
        monkeypatch.setenv("NOTIFY_STATE_DIR", str(tmp_path))
        monkeypatch.setenv("NOTIFY_REDIS_URL", redis_server.url(1))
        settings.cache_clear()
        yield apple, browsers
        wiring.close()
    settings.cache_clear()


def tried(name: str, address: str) -> tuple[int, dict[str, Any]]:
    result = run("test", name, "--to", address, "--json", command=providers)
    for secret in (address, "PRIVATE", "eyJ"):
        assert secret not in result.output
    return result.exit_code, json.loads(result.stdout)


def test_one_real_message_goes_to_apns(service: tuple[ApnsStandIn, WebhookReceiver]) -> None:
    apple, _ = service
    code, told = tried("apple", TOKEN)
    assert (code, told["result"], told["channel"]) == (0, "ok", "push")
    [sent] = apple.sent
    assert told["provider_id"] == sent.headers["apns-id"]
    assert sent.payload["aps"]["alert"]["title"] == "Test message"

    apple.answers.append(refused(400, "DeviceTokenNotForTopic"))
    code, told = tried("apple", TOKEN)
    assert code == 1
    assert "DeviceTokenNotForTopic" in told["detail"]


def test_one_real_message_goes_to_a_browser(service: tuple[ApnsStandIn, WebhookReceiver]) -> None:
    _, browsers = service
    browser = Browser(f"https://127.0.0.1:{browsers.port}/canary")
    code, told = tried("browsers", browser.token)
    assert (code, told["result"]) == (0, "ok")
    assert browser.read(browsers.requests[0].body)["notification"]["title"] == "Test message"

    browsers.then(status(403))
    code, told = tried("browsers", browser.token)
    assert code == 1
    assert "the VAPID key is refused" in told["detail"]


def test_both_are_listed_without_a_secret(service: tuple[ApnsStandIn, WebhookReceiver]) -> None:
    result = run("list", "--json", command=providers)
    found = {one["name"]: one for one in json.loads(result.stdout)}
    assert (found["apple"]["kind"], found["apple"]["breaker"]) == ("apns", "closed")
    assert (found["browsers"]["kind"], found["browsers"]["breaker"]) == ("webpush", "one a host")
    assert "PRIVATE" not in result.output
