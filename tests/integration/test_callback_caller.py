"""Calls of senders' receivers against a real HTTPS server: what is sent, what answers mean, where none goes."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from msgspec import structs
from standardwebhooks import Webhook, WebhookVerificationError

from app.domain.callback import Callback, CallbackReceiver, signing_secret
from app.domain.errors import DeadAddressError, InDoubtError, PermanentError, ThrottledError, TransientError
from app.settings import Settings
from infrastructure.channels.callback_caller import HttpCallbackCaller
from infrastructure.channels.guarded_post import GuardedPost
from tests.support.certificate import Certificate, make_certificate
from tests.support.webhook_receiver import WebhookReceiver, hang, status, webhook_receiver

SECRET = b"service secret"
BODY = b'{"type":"notification.sent","data":{"text":"Gr\xc3\xbc\xc3\x9fe"}}'
Make = Callable[..., HttpCallbackCaller]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def hook(certificate: Certificate) -> Iterator[WebhookReceiver]:
    with webhook_receiver(certificate.server) as receiver:
        yield receiver


@pytest.fixture
def make(certificate: Certificate) -> Iterator[Make]:
    made: list[HttpCallbackCaller] = []

    def caller(**given: object) -> HttpCallbackCaller:
        settings = dataclasses.replace(Settings(), **({"webhook_allow": "127.0.0.1/32"} | given))
        made.append(HttpCallbackCaller(settings, SECRET, certificate.client))
        return made[-1]

    yield caller
    for one in made:
        one.close()


def receiver(url: str, **given: Any) -> CallbackReceiver:
    return CallbackReceiver(**({"key_id": "0123456789ab", "url": url, "salt": "5a17", "since_ms": 1} | given))


def callback(name: str = "cb_1") -> Callback:
    return Callback(id=name, key_id="0123456789ab", body=BODY, made_at_ms=1, due_at_ms=1)


def test_the_receiver_can_verify_it_with_its_own_secret_and_no_other(hook: WebhookReceiver, make: Make) -> None:
    """With the reference implementation of Standard Webhooks."""
    to = receiver(hook.url)
    assert make().call(to, callback()) is None
    [request] = hook.requests
    assert request.body == BODY
    assert Webhook(signing_secret(to, SECRET)).verify(request.body, request.headers)["type"] == "notification.sent"
    assert request.headers["webhook-id"] == "cb_1"
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers
    for other in (structs.replace(to, key_id="ba9876543210"), structs.replace(to, salt="5a18")):
        with pytest.raises(WebhookVerificationError):
            Webhook(signing_secret(other, SECRET)).verify(request.body, request.headers)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (200, type(None)),
        (202, type(None)),
        (204, type(None)),
        (301, PermanentError),
        (307, PermanentError),
        (400, PermanentError),
        (404, PermanentError),
        (410, DeadAddressError),
        (429, TransientError),
        (500, TransientError),
        (503, TransientError),
    ],
)
def test_what_a_status_means(hook: WebhookReceiver, make: Make, code: int, kind: type) -> None:
    hook.then(status(code, Location=f"https://127.0.0.1:{hook.port}/elsewhere"))
    assert type(make().call(receiver(hook.url), callback())) is kind
    assert [request.path for request in hook.requests] == ["/hook?a=1"]


def test_a_receiver_may_ask_to_be_left_alone(hook: WebhookReceiver, make: Make) -> None:
    hook.then(status(503, retry_after="7"), status(429, retry_after="999999"))
    first, second = (make().call(receiver(hook.url), callback()) for _ in range(2))
    assert isinstance(first, ThrottledError)
    assert isinstance(second, ThrottledError)
    assert (first.retry_after_s, second.retry_after_s) == (7, Settings().retry_cap_s)


def test_an_answer_that_never_comes_ends_with_the_time_out(hook: WebhookReceiver, make: Make) -> None:
    hook.then(hang)
    assert isinstance(make(callback_timeout_s=0.3).call(receiver(hook.url), callback()), InDoubtError)


def test_one_connection_serves_many_calls(hook: WebhookReceiver, make: Make) -> None:
    caller = make()
    for number in range(3):
        assert caller.call(receiver(hook.url), callback(f"cb_{number}")) is None
    assert len({request.client_port for request in hook.requests}) == 1


def test_a_certificate_of_nobody_is_refused(hook: WebhookReceiver) -> None:
    caller = HttpCallbackCaller(dataclasses.replace(Settings(), webhook_allow="127.0.0.1/32"), SECRET)
    assert isinstance(caller.call(receiver(hook.url), callback()), TransientError)
    assert hook.requests == []
    caller.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hook", "not https"),
        ("http://10.0.0.1/hook", "not a public address"),
        ("https://169.254.169.254/latest", "not a public address"),
        ("https://user:pass@example.com/", "user in the URL"),
        ("ftp://example.com/", "not an http(s) URL"),
        ("example.com", "not an http(s) URL"),
    ],
)
def test_where_no_callback_goes(make: Make, url: str, why: str) -> None:
    with pytest.raises(PermanentError) as refused:
        make().check_url(url)
    assert refused.value.detail == why
    error = make().call(receiver(url), callback())
    assert isinstance(error, PermanentError)
    assert error.detail == why


def test_what_the_operator_allows_needs_no_encryption(make: Make) -> None:
    assert make().check_url("http://127.0.0.1:8081/a") == "http://127.0.0.1:8081/a"
    assert make().check_url("https://Example.com") == "https://example.com/"
    with pytest.raises(PermanentError, match="not https"):
        make().check_url("http://localhost:8081/a")


def test_a_name_that_leads_to_an_inner_address_is_not_called(
    hook: WebhookReceiver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: inner)
    error = make(webhook_allow="").call(receiver(f"https://hook.example.com:{hook.port}/"), callback())
    assert isinstance(error, PermanentError)
    assert error.reason == "forbidden_address"
    assert hook.requests == []


def test_a_defect_is_an_answer_and_its_log_line_has_no_url(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("https://secret.example.com/")

    monkeypatch.setattr(GuardedPost, "send", fail)
    with structlog.testing.capture_logs() as lines:
        assert isinstance(make().call(receiver("https://secret.example.com/"), callback()), InDoubtError)
    [line] = lines
    assert line["event"] == "callback_unexpected_error"
    assert "secret" not in str(lines)
