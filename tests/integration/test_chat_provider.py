"""Chats by apprise against a real HTTP server: what is sent, what comes of it, and what is never reached or told."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apprise
import apprise.manager_plugins
import pytest
import requests
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram

from app.domain.errors import (
    DeliveryError,
    InDoubtError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from app.domain.ports import Receipt
from app.settings import Settings
from infrastructure.channels.chat import ChatProvider
from infrastructure.channels.chat_library import ChatLibrary
from infrastructure.sealing import Sealing
from tests.support.messages import message
from tests.support.webhook_receiver import (
    Answer,
    WebhookReceiver,
    answering,
    drop,
    garbage,
    hang,
    status,
    webhook_receiver,
)

TIMEOUT_S = 5.0
SECRET = b"service secret"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
SLACK_BOT = "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#general"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/-1001234"
WORKFLOWS = "workflows://prod-1.westeurope.logic.azure.com:443/643e69f83c8944438d68119179a10a64/KODuebWbDGYFr0z0eu"
#: What a URL must never be told by.
TOKENS = ("TIiajkdnlazkcOXrIdevi7", "4ddbc191d40ee098cbaae6f3523ada2d", "JHMHI8qBe7bk2ZwO5U711o3dV_js", "hijklmnop")

Make = Callable[..., ChatProvider]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    """A receiver that Slack, Discord and Telegram are found at."""
    with webhook_receiver() as receiver:
        root = f"http://127.0.0.1:{receiver.port}"
        monkeypatch.setattr(NotifySlack, "webhook_url", f"{root}/services")
        monkeypatch.setattr(NotifySlack, "api_url", f"{root}/api/{{}}")
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{root}/api/webhooks")
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{root}/bot")
        yield receiver


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ChatProvider] = []

    def provider(**given: object) -> ChatProvider:
        settings = dataclasses.replace(Settings(), **({"webhook_allow": "127.0.0.1/32"} | given))
        made.append(ChatProvider(settings, SECRET))
        return made[-1]

    yield provider
    for one in made:
        one.close()


def send(provider: ChatProvider, url: str, timeout_s: float = TIMEOUT_S, **given: object) -> Receipt | Exception:
    provider.check_address(url)  # loads the library, which is no part of a call's time
    return provider.send([message(address=url, **given)], timeout_s)[0]


def hook(outside: WebhookReceiver, path: str = "/hook") -> str:
    """A URL of apprise's `json`, which posts to any host."""
    return f"json://127.0.0.1:{outside.port}{path}"


def said(body: dict[str, Any], code: int = 200, **headers: str) -> Answer:
    return answering(code, json.dumps(body).encode(), **headers)


# what is sent


def test_slack_gets_a_message(outside: WebhookReceiver, make: Make) -> None:
    outside.then(answering(200, b"ok"))
    assert send(make(), SLACK, subject="New device", text="Was it you?") == Receipt()
    [request] = outside.requests
    assert request.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
    assert "Was it you?" in request.body.decode()
    assert "New device" in request.body.decode()
    assert b"pprise" not in request.body, "nothing of the library's own name"


def test_discord_gets_a_message(outside: WebhookReceiver, make: Make) -> None:
    assert send(make(), DISCORD, text="Was it you?") == Receipt()
    [request] = outside.requests
    assert request.path.startswith("/api/webhooks/4174216298/")
    assert "Was it you?" in json.dumps(json.loads(request.body))


def test_telegram_gets_a_message_with_its_signs_escaped(outside: WebhookReceiver, make: Make) -> None:
    outside.then(said({"ok": True, "result": {"message_id": 7}}))
    assert send(make(), TELEGRAM, text="1 < 2 & 3") == Receipt()
    [request] = outside.requests
    assert request.path == "/bot123456789:abcdefg_hijklmnop/sendMessage"
    payload = json.loads(request.body)
    assert str(payload["chat_id"]) == "-1001234"
    assert "1 &lt; 2 &amp; 3" in payload["text"]


def test_a_sealed_url_is_opened_for_the_call(outside: WebhookReceiver, make: Make) -> None:
    sealed = Sealing(SECRET).seal(DISCORD)
    provider = make()
    assert provider.check_address(sealed) == sealed, "it stays sealed on its way"
    assert send(provider, sealed) == Receipt()
    assert len(outside.requests) == 1


def test_one_message_whatever_its_length(outside: WebhookReceiver, make: Make) -> None:
    assert send(make(), f"{DISCORD}?overflow=split", text="long " * 2000) == Receipt()
    assert len(outside.requests) == 1


def test_a_subject_alone_will_do_and_nothing_at_all_will_not(outside: WebhookReceiver, make: Make) -> None:
    assert send(make(), DISCORD, subject="New device", text=" ") == Receipt()
    found = send(make(), DISCORD, subject=" ", text="")
    assert isinstance(found, PermanentError)
    assert (found.reason, len(outside.requests)) == ("invalid_content", 1)


def test_connections_are_kept(outside: WebhookReceiver, make: Make) -> None:
    provider = make()
    for _ in range(3):
        assert send(provider, DISCORD) == Receipt()
    assert len({request.client_port for request in outside.requests}) == 1


def test_threads_may_share_the_provider(outside: WebhookReceiver, make: Make) -> None:
    provider = make()
    urls = [DISCORD, TELEGRAM, SLACK]
    outside.answers = deque([answering(200, b"ok")] * 300)

    def one(number: int) -> Receipt | Exception:
        return provider.send([message(f"d-{number}", address=urls[number % 3], text=f"<{number}>")], TIMEOUT_S)[0]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(150)))
    assert [result for result in results if not isinstance(result, Receipt)] == []
    assert len(outside.requests) == 150


# what comes of it


@pytest.mark.parametrize("url", [SLACK, DISCORD, TELEGRAM])
@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (status(400), PermanentError, "provider_rejected"),
        (status(403), PermanentError, "provider_rejected"),
        (status(404), PermanentError, "provider_rejected"),
        (status(302, location="/elsewhere"), PermanentError, "provider_rejected"),
        (status(500), TransientError, "provider_transient"),
        (status(503), TransientError, "provider_transient"),
        (status(503, retry_after="7"), ThrottledError, "provider_throttled"),
        (status(429, retry_after="7"), ThrottledError, "provider_throttled"),
        (drop, InDoubtError, "in_doubt"),
        (garbage, InDoubtError, "in_doubt"),
    ],
    ids=["400", "403", "404", "302", "500", "503", "503 retry-after", "429 retry-after", "hangs up", "garbage"],
)
def test_what_an_answer_means(
    outside: WebhookReceiver, make: Make, url: str, answer: Answer, kind: type, reason: str
) -> None:
    outside.then(answer)
    found = send(make(), url)
    assert type(found) is kind, found
    assert isinstance(found, DeliveryError)
    assert found.reason == reason
    assert len(outside.requests) == 1, "it is not asked again, and no redirect is followed"
    assert not any(token in f"{found!r} {found}" for token in TOKENS)


@pytest.mark.parametrize(
    "answer",
    [
        said({"ok": False, "error_code": 429, "parameters": {"retry_after": 7}}, 429),
        said({"message": "You are being rate limited.", "retry_after": 7}, 429),
        status(429, retry_after="7"),
    ],
    ids=["Telegram", "Discord", "header"],
)
def test_how_long_to_wait_is_what_the_service_says(outside: WebhookReceiver, make: Make, answer: Answer) -> None:
    outside.then(answer)
    found = send(make(), TELEGRAM)
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == 7


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        ({"ok": False, "error": "channel_not_found"}, PermanentError, "HTTP 200, channel_not_found"),
        ({"ok": False, "error": "service_unavailable"}, TransientError, "HTTP 200, service_unavailable"),
        ({"ok": False, "error": {"x": SLACK}}, PermanentError, "HTTP 200, not ok"),
        ({"ok": False}, PermanentError, "HTTP 200, not ok"),
        ({"what": "is this"}, InDoubtError, "HTTP 200, and not taken for a yes"),
    ],
)
def test_a_no_that_comes_with_200_is_read(
    outside: WebhookReceiver, make: Make, body: dict[str, Any], kind: type, told: str
) -> None:
    outside.then(said(body))
    found = send(make(), SLACK_BOT)
    assert type(found) is kind, found
    assert isinstance(found, DeliveryError)
    assert found.detail == told


def test_where_one_of_several_requests_was_taken_nobody_knows_whether_the_message_was(
    outside: WebhookReceiver, make: Make
) -> None:
    outside.then(said({"ok": True}), status(500))
    found = send(make(), f"{TELEGRAM}/-1005678")
    assert isinstance(found, InDoubtError)
    assert found.detail == "after a request that was taken: HTTP 500"


def test_no_answer_in_time_is_in_doubt_and_holds_the_call_no_longer(outside: WebhookReceiver, make: Make) -> None:
    outside.then(hang)
    provider = make()
    provider.check_address(f"{DISCORD}?rto=60")
    started_s = time.monotonic()
    assert isinstance(send(provider, f"{DISCORD}?rto=60", timeout_s=0.3), InDoubtError)
    assert time.monotonic() - started_s < 2.0


def test_the_library_neither_waits_nor_tries_again(outside: WebhookReceiver, make: Make) -> None:
    outside.then(*[status(500)] * 9)
    provider = make()
    provider.check_address(TELEGRAM)
    started_s = time.monotonic()
    targets = "/".join(f"-100{number}" for number in range(5))
    assert isinstance(send(provider, f"{TELEGRAM}/{targets}?retry=5&wait=30&optional=yes"), TransientError)
    assert time.monotonic() - started_s < 3.0
    assert len(outside.requests) == 6, "one for each target"


def test_nobody_listening_is_transient(make: Make) -> None:
    with webhook_receiver() as gone:
        url = hook(gone)
    assert type(send(make(chat_schemas="json"), url)) is TransientError


# what is never reached


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "invalid_address"),
        ("@anna", "invalid_address"),
        ("not a url", "invalid_address"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7", "forbidden_address"),
        ("json://127.0.0.1/hook", "forbidden_address"),
        ("xml://127.0.0.1/hook", "forbidden_address"),
        ("form://127.0.0.1/hook", "forbidden_address"),
        ("mailto://user:pass@example.com", "forbidden_address"),
        ("syslog://", "forbidden_address"),
        ("syslog://local0", "forbidden_address"),
        ("dbus://anything", "forbidden_address"),
        ("windows://anything", "forbidden_address"),
        ("file:///etc/passwd", "forbidden_address"),
        ("nonsense://x", "forbidden_address"),
        ("slack://nothing", "invalid_address"),
        ("tgram://nothing", "invalid_address"),
        (f"{SLACK}?template=/etc/passwd", "forbidden_address"),
        (f"{SLACK}?TEMPLATE=/etc/passwd", "forbidden_address"),
        (f"{DISCORD}?template=file:///etc/passwd", "forbidden_address"),
        (WORKFLOWS.replace("prod-1.westeurope.logic.azure.com", "evil.example"), "forbidden_address"),
        (WORKFLOWS.replace("logic.azure.com", "logic.azure.com.evil.example"), "forbidden_address"),
    ],
)
def test_what_is_not_allowed_or_is_none_is_refused_before_any_call_and_not_quoted(
    make: Make, url: str, reason: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        make().check_address(url)
    assert caught.value.reason == reason
    assert not any(token in str(caught.value) for token in TOKENS)
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize("url", [SLACK, SLACK_BOT, DISCORD, TELEGRAM, WORKFLOWS])
def test_what_is_allowed_is_taken_as_it_is(make: Make, url: str) -> None:
    provider = make()
    assert provider.check_address(url) == url
    assert provider.check_address(provider.check_address(url)) == url


@pytest.mark.parametrize("schema", ["syslog", "mailto", "dbus"])
def test_what_does_not_go_by_http_is_refused_also_where_it_is_allowed(make: Make, schema: str) -> None:
    provider = make(chat_schemas=f"{schema},slack")
    with pytest.raises(PermanentError) as caught:
        provider.check_address(f"{schema}://user:pass@example.com")
    assert caught.value.reason in ("forbidden_address", "invalid_address")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"])  # noqa: S104 - never bound
def test_a_service_with_a_host_reaches_what_webhooks_may_and_no_more(
    outside: WebhookReceiver, make: Make, host: str
) -> None:
    provider = make(chat_schemas="json", webhook_allow="")
    found = provider.send([message(address=f"json://{host}:{outside.port}/hook")], TIMEOUT_S)[0]
    assert isinstance(found, PermanentError), found
    assert found.reason in ("forbidden_address", "invalid_address")
    assert outside.requests == []


def test_no_proxy_is_taken_from_the_environment(
    outside: WebhookReceiver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(make(chat_schemas="json"), hook(outside)) == Receipt()


def test_a_header_of_the_url_cannot_name_another_host(outside: WebhookReceiver, make: Make) -> None:
    assert send(make(chat_schemas="json"), f"{hook(outside)}?+Host=evil.example&+X-Own=1") == Receipt()
    [request] = outside.requests
    assert request.headers["host"] == f"127.0.0.1:{outside.port}"
    assert request.headers["x-own"] == "1"


def test_without_a_call_under_way_the_library_reaches_nobody(outside: WebhookReceiver) -> None:
    service = ChatLibrary().service(hook(outside), {"json"})
    assert not apprise.Apprise(service).notify(body="x")
    assert outside.requests == []


def test_requests_of_others_are_left_alone(outside: WebhookReceiver, make: Make) -> None:
    make().check_address(SLACK)
    assert requests.post(outside.url, data=b"x", timeout=TIMEOUT_S).status_code == 204


def test_a_url_sealed_under_another_secret_is_refused(make: Make) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        make().check_address(Sealing(b"another").seal(SLACK))


def test_what_is_allowed_by_default_goes_by_http_to_hosts_of_its_own() -> None:
    known = apprise.manager_plugins.NotificationManager()
    for schema in Settings().chat_schemas.split(","):
        kind = known[schema]
        assert any(hasattr(sys.modules[one.__module__], "requests") for one in kind.__mro__), schema
        assert schema == "workflows" or not any("{host}" in template for template in kind.templates), schema


# what is never told


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (SLACK, "slack"),
        (SLACK_BOT, "slack"),
        (DISCORD, "discord"),
        (TELEGRAM, "tgram"),
        (WORKFLOWS, "workflows:prod-1.westeurope.logic.azure.com:443"),
    ],
)
def test_a_breaker_is_known_by_the_service_and_by_no_token(make: Make, url: str, key: str) -> None:
    provider = make()
    assert provider.breaker_key(url) == provider.breaker_key(Sealing(SECRET).seal(url)) == key


def test_the_library_logs_nothing(
    outside: WebhookReceiver, make: Make, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(0):
        outside.then(status(404), drop)
        provider = make()
        for url in (SLACK, DISCORD, TELEGRAM):
            send(provider, url)
        with pytest.raises(PermanentError):
            provider.check_address("slack://TIiajkdnlazkcOXrIdevi7")
    written = caplog.text + "".join(capfd.readouterr())
    assert not any(token in written for token in TOKENS)
    assert not [record for record in caplog.records if record.name.startswith("apprise")]
    assert logging.getLogger("apprise").disabled


def test_nothing_is_written_to_disk(
    outside: WebhookReceiver, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    send(make(), TELEGRAM)
    send(make(), SLACK)
    assert list(tmp_path.iterdir()) == []
