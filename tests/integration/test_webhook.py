"""Webhooks against a real HTTP server: what is sent, what answers mean, and what is never reached."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.domain.errors import (
    ConfigError,
    DeliveryError,
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    ThrottledError,
    TransientError,
)
from app.domain.ports import Receipt
from app.settings import Settings
from infrastructure.channels.webhook import WebhookProvider
from infrastructure.channels.webhook_signature import signing_secret
from tests.support.certificate import Certificate, make_certificate
from tests.support.messages import message
from tests.support.soon import soon
from tests.support.webhook_receiver import (
    WebhookReceiver,
    drip,
    drop,
    hang,
    huge,
    status,
    webhook_receiver,
)

TIMEOUT_S = 5.0
SECRET = b"service secret"


@pytest.fixture
def hook() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


Make = Callable[..., WebhookProvider]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[WebhookProvider] = []

    def provider(tls: Any = None, **given: object) -> WebhookProvider:
        settings = dataclasses.replace(Settings(), **({"webhook_allow": "127.0.0.1/32"} | given))
        made.append(WebhookProvider(settings, SECRET, tls))
        return made[-1]

    yield provider
    for one in made:
        one.close()


def send(provider: WebhookProvider, url: str, timeout_s: float = TIMEOUT_S, **given: object) -> Receipt | Exception:
    return provider.send([message(address=url, **given)], timeout_s)[0]


def test_the_receiver_can_verify_who_sent_it(hook: WebhookReceiver, make: Make) -> None:
    """With the reference implementation of Standard Webhooks."""
    assert isinstance(send(make(), hook.url, delivery_id="d-9", text="Grüße"), Receipt)
    request = hook.requests[0]
    verified = Webhook(signing_secret(Settings(), SECRET)).verify(request.body, request.headers)
    assert verified == {
        "type": "security_alert",
        "timestamp": "2024-11-22T10:06:40Z",
        "data": {
            "notification_id": "n-1",
            "delivery_id": "d-9",
            "user_id": "user-001",
            "category": "security",
            "subject": "A new device",
            "text": "Grüße",
            "metadata": {"device": "Unknown iPhone"},
        },
    }
    assert request.headers["webhook-id"] == "d-9"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"127.0.0.1:{hook.port}"
    assert request.path == "/hook?a=1"


def test_a_given_secret_signs(hook: WebhookReceiver, make: Make) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    send(make(webhook_secret=secret), hook.url)
    Webhook(secret).verify(hook.requests[0].body, hook.requests[0].headers)


@pytest.mark.parametrize("secret", ["secret", "whsec_", "whsec_!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_secret_of_another_form_is_a_config_error(make: Make, secret: str) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_WEBHOOK_SECRET"):
        make(webhook_secret=secret)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (200, Receipt),
        (204, Receipt),
        (301, PermanentError),
        (302, PermanentError),
        (307, PermanentError),
        (400, PermanentError),
        (404, PermanentError),
        (410, PermanentError),
        (408, TransientError),
        (425, TransientError),
        (429, TransientError),
        (500, TransientError),
        (503, TransientError),
    ],
)
def test_what_a_status_means(hook: WebhookReceiver, make: Make, code: int, kind: type) -> None:
    hook.then(status(code, Location=f"http://127.0.0.1:{hook.port}/elsewhere"))
    assert type(send(make(), hook.url)) is kind
    assert [request.path for request in hook.requests] == ["/hook?a=1"]


@pytest.mark.parametrize(
    ("code", "value", "wait_s"),
    [(429, "7", 7), (503, "0", 1), (429, "999999999", 1800)],
)
def test_a_receiver_may_ask_to_wait(hook: WebhookReceiver, make: Make, code: int, value: str, wait_s: float) -> None:
    hook.then(status(code, retry_after=value))
    result = send(make(), hook.url)
    assert isinstance(result, ThrottledError)
    assert result.retry_after_s == wait_s


@pytest.mark.parametrize(("ahead_s", "wait_s"), [(1000, 1000), (-1000, 1)])
def test_a_receiver_may_name_the_time(hook: WebhookReceiver, make: Make, ahead_s: float, wait_s: float) -> None:
    named = datetime.now(UTC) + timedelta(seconds=ahead_s)
    hook.then(status(429, retry_after=format_datetime(named, usegmt=True)))
    result = send(make(), hook.url)
    assert isinstance(result, ThrottledError)
    assert result.retry_after_s == pytest.approx(wait_s, abs=30)


def test_a_retry_after_that_says_nothing_is_transient(hook: WebhookReceiver, make: Make) -> None:
    hook.then(status(429, retry_after="soon"))
    assert type(send(make(), hook.url)) is TransientError


def test_one_connection_serves_many_calls(hook: WebhookReceiver, make: Make) -> None:
    provider = make()
    for _ in range(4):
        send(provider, hook.url)
    assert len({request.client_port for request in hook.requests}) == 1


def test_a_kept_connection_that_was_closed_is_replaced_at_once(hook: WebhookReceiver, make: Make) -> None:
    provider = make()
    send(provider, hook.url)
    hook.then(drop)
    assert isinstance(send(provider, hook.url), Receipt)
    assert [request.headers["webhook-id"] for request in hook.requests] == ["d-1"] * 3


def test_a_kept_connection_ends_with_its_age(hook: WebhookReceiver, make: Make) -> None:
    provider = make(webhook_age_s=0.05)
    send(provider, hook.url)
    time.sleep(0.1)
    send(provider, hook.url)
    assert len({request.client_port for request in hook.requests}) == 2


def test_threads_may_share_the_provider(hook: WebhookReceiver, make: Make) -> None:
    provider = make(webhook_kept=4)
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda i: send(provider, hook.url, delivery_id=f"d-{i}"), range(200)))
    assert all(isinstance(result, Receipt) for result in results)
    assert {request.headers["webhook-id"] for request in hook.requests} == {f"d-{i}" for i in range(200)}


def test_no_answer_in_time_is_in_doubt(hook: WebhookReceiver, make: Make) -> None:
    hook.then(hang)
    started_s = time.monotonic()
    with soon("the call"):
        assert isinstance(send(make(), hook.url, timeout_s=0.3), InDoubtError)
    assert time.monotonic() - started_s > 0.25


def test_an_answer_that_drips_does_not_hold_the_call(hook: WebhookReceiver, make: Make) -> None:
    hook.then(drip)
    with soon("the call"):
        assert isinstance(send(make(), hook.url, timeout_s=0.4), InDoubtError)


def test_hanging_up_without_an_answer_is_in_doubt(hook: WebhookReceiver, make: Make) -> None:
    hook.then(drop)
    assert isinstance(send(make(), hook.url), InDoubtError)


def test_a_huge_answer_is_not_read(hook: WebhookReceiver, make: Make) -> None:
    hook.then(huge)
    provider = make()
    with soon("the call"):
        assert isinstance(send(provider, hook.url), Receipt)
    assert isinstance(send(provider, hook.url), Receipt)


def test_nobody_listening_is_transient(make: Make) -> None:
    with webhook_receiver() as gone:
        url = gone.url
    assert type(send(make(), url)) is TransientError


def test_a_receiver_that_never_reads_is_a_time_out(make: Make) -> None:
    """The request fills the buffers between the two and was never handed over."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        result = send(make(), url, timeout_s=0.4, text="x" * 30_000_000)
    assert isinstance(result, ProviderTimeoutError)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"],  # noqa: S104
)
def test_this_machine_is_not_reached_under_any_name(hook: WebhookReceiver, make: Make, host: str) -> None:
    result = send(make(webhook_allow=""), f"http://{host}:{hook.port}/")
    assert isinstance(result, DeliveryError)
    assert result.reason == "forbidden_address"
    assert hook.requests == []


def test_a_literal_address_is_refused_before_any_sending(make: Make) -> None:
    with pytest.raises(PermanentError, match="forbidden_address"):
        make().check_address("http://169.254.169.254/latest/meta-data")


def test_a_redirect_to_a_forbidden_place_is_not_followed(hook: WebhookReceiver, make: Make) -> None:
    hook.then(status(307, Location="http://169.254.169.254/"))
    result = send(make(), hook.url)
    assert isinstance(result, PermanentError)
    assert result.reason == "provider_rejected"


def test_no_proxy_is_taken_from_the_environment(
    hook: WebhookReceiver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert isinstance(send(make(), hook.url), Receipt)


def test_a_name_is_resolved_once_and_then_connected_to(
    hook: WebhookReceiver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up could answer differently (DNS rebinding)."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
        if host != "hook.example.com":
            return real(host, *args, **kwargs)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    url = f"http://hook.example.com:{hook.port}/"
    assert isinstance(send(make(), url), Receipt)
    assert asked == ["hook.example.com"]
    assert hook.requests[0].headers["host"] == f"hook.example.com:{hook.port}"
    forbidden = send(make(webhook_allow=""), url)
    assert isinstance(forbidden, PermanentError)
    assert forbidden.reason == "forbidden_address"


def test_a_resolver_that_hangs_does_not_hold_the_call(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def getaddrinfo(*_args: Any, **_kwargs: Any) -> Any:
        released.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    provider = make(resolver_threads=2)
    try:
        with soon("a call"):
            for _ in range(3):
                assert isinstance(send(provider, "http://hook.example.com/", timeout_s=0.2), ProviderTimeoutError)
    finally:
        released.set()


def test_a_name_that_does_not_exist_is_transient(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_args: Any, **_kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert type(send(make(), "http://hook.example.com/")) is TransientError


def test_the_breaker_key_is_the_targets_host_and_port(make: Make) -> None:
    assert make().breaker_key("https://Hook.example.com/a") == "hook.example.com:443"
    assert make().breaker_key("http://hook.example.com:81/b") == "hook.example.com:81"


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder: Path = tmp_path_factory.mktemp("certificate")
    return make_certificate(folder)


def test_https_checks_the_certificate_for_the_name(certificate: Certificate, make: Make) -> None:
    with webhook_receiver(certificate.server) as hook:
        provider = make(certificate.client)
        assert isinstance(send(provider, f"https://localhost:{hook.port}/"), Receipt)
        assert isinstance(send(provider, f"https://localhost:{hook.port}/"), Receipt)
        assert len({request.client_port for request in hook.requests}) == 1


def test_a_certificate_for_another_name_is_refused(
    certificate: Certificate, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook_receiver(certificate.server) as hook:
        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *args, **kwargs: real("127.0.0.1", *args, **kwargs))
        result = send(make(certificate.client), f"https://hook.example.com:{hook.port}/")
        assert isinstance(result, TransientError)
        assert "TLS" in str(result)
        assert hook.requests == []


def test_a_certificate_of_nobody_is_refused(certificate: Certificate, make: Make) -> None:
    with webhook_receiver(certificate.server) as hook:
        assert isinstance(send(make(), f"https://localhost:{hook.port}/"), TransientError)
        assert hook.requests == []


def test_over_tls_too_an_answer_that_drips_does_not_hold_the_call(certificate: Certificate, make: Make) -> None:
    with webhook_receiver(certificate.server) as hook:
        hook.then(drip)
        with soon("the call"):
            assert isinstance(send(make(certificate.client), hook.url, timeout_s=0.4), InDoubtError)


def test_the_body_is_json_whatever_the_metadata(hook: WebhookReceiver, make: Make) -> None:
    send(make(), hook.url, metadata={"a": [1, None, {"b": "\u2028"}]})
    assert json.loads(hook.requests[0].body)["data"]["metadata"] == {"a": [1, None, {"b": "\u2028"}]}
