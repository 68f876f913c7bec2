"""Web Push against a stand-in that answers as push services do: the right class of outcome each time."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidTag

from app.domain.clock import now_ms
from app.domain.errors import (
    ConfigError,
    DeadAddressError,
    DeliveryError,
    InDoubtError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from app.domain.ports import Receipt
from app.domain.provider_file import WebPushEntry
from app.settings import Settings
from infrastructure.channels import es256
from infrastructure.channels.configured import configured
from infrastructure.channels.vapid import KeyPair, new_key_pair
from infrastructure.channels.web_push import WebPushProvider
from tests.support.browser import Browser
from tests.support.certificate import Certificate, make_certificate
from tests.support.messages import message
from tests.support.webhook_receiver import (
    Answer,
    WebhookReceiver,
    answering,
    drip,
    drop,
    garbage,
    hang,
    huge,
    status,
    webhook_receiver,
)

SUBJECT = "mailto:ops@example.com"
#: Long, so that what does answer does so in time on a machine that is busy; short for those that never do.
TIMEOUT_S, HANG_TIMEOUT_S = 5.0, 0.5
SETTINGS = dataclasses.replace(
    Settings(), provider_timeout_s=TIMEOUT_S, retry_cap_s=100.0, webhook_allow="127.0.0.1/32"
)
LATER_MS = 90_000
TAKEN = status(201, location="https://push.example.com/m/1")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("webpush"))


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return new_key_pair()


@pytest.fixture
def service(certificate: Certificate) -> Iterator[WebhookReceiver]:
    with webhook_receiver(certificate.server) as receiver:
        yield receiver


@pytest.fixture
def browser(service: WebhookReceiver) -> Browser:
    return Browser(f"https://127.0.0.1:{service.port}/send/canary-of-a-subscription")


def made(pair: KeyPair, certificate: Certificate, settings: Settings = SETTINGS, **given: Any) -> WebPushProvider:
    entry = WebPushEntry(**({"name": "web-1", "private_key": "", "subject": SUBJECT} | given))
    return WebPushProvider(entry, pair.private, settings, certificate.client)


@pytest.fixture
def provider(pair: KeyPair, certificate: Certificate) -> Iterator[WebPushProvider]:
    provider = made(pair, certificate)
    yield provider
    provider.close()


def send(
    provider: Any, browser: Browser, delivery_id: str = "d-1", *, timeout_s: float = TIMEOUT_S, **given: Any
) -> Receipt | Exception:
    values = {"address": browser.token} | given
    [answer] = provider.send([message(delivery_id, **values)], timeout_s)
    found: Receipt | Exception = answer
    return found


def error_of(found: Receipt | Exception, pair: KeyPair) -> DeliveryError:
    """The error, which has neither the subscription nor the key in it, however it came about."""
    assert isinstance(found, DeliveryError), found
    error: BaseException | None = found
    while error is not None:
        assert not [one for one in ("canary", pair.private, pair.public, "eyJ") if one in f"{error} {error!r}"]
        error = error.__cause__ or error.__context__
    return found


# what an answer means


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "told"),
    [
        (status(404), DeadAddressError, "unregistered", "HTTP 404"),
        (status(410), DeadAddressError, "unregistered", "HTTP 410"),
        (answering(410, b'{"code":410,"errno":106}'), DeadAddressError, "unregistered", "HTTP 410"),
        (status(400), PermanentError, "provider_rejected", "HTTP 400"),
        (status(413), PermanentError, "provider_rejected", "HTTP 413"),
        (status(307, location="https://127.0.0.1/"), PermanentError, "provider_rejected", "HTTP 307"),
        (answering(401, b'{"code":401,"errno":109}'), TransientError, "provider_transient", "the VAPID key is"),
        (answering(403, b'{"reason":"BadJwtToken"}'), TransientError, "provider_transient", "the VAPID key is"),
        (status(429), ThrottledError, "provider_throttled", "HTTP 429"),
        (status(429, retry_after="7"), ThrottledError, "provider_throttled", "HTTP 429"),
        (status(500), TransientError, "provider_transient", "HTTP 500"),
        (status(502), TransientError, "provider_transient", "HTTP 502"),
        (status(503, retry_after="7"), ThrottledError, "provider_throttled", "HTTP 503"),
        (drop, InDoubtError, "in_doubt", "no answer"),
        (garbage, InDoubtError, "in_doubt", "no answer"),
    ],
)
def test_what_an_answer_means(
    service: WebhookReceiver,
    provider: WebPushProvider,
    browser: Browser,
    pair: KeyPair,
    answer: Answer,
    kind: type[DeliveryError],
    reason: str,
    told: str,
) -> None:
    service.then(answer)
    found = error_of(send(provider, browser), pair)
    assert type(found) is kind, found
    assert (found.reason, told in found.detail) == (reason, True), found.detail
    assert len(service.requests) == 1, "it is never asked twice"


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_each_success_is_one(service: WebhookReceiver, provider: Any, browser: Browser, code: int) -> None:
    service.then(status(code))
    assert send(provider, browser) == Receipt()


@pytest.mark.parametrize("answer", [hang, drip], ids=["hangs", "drips"])
def test_one_that_never_ends_is_in_doubt_in_time(
    service: WebhookReceiver, provider: Any, browser: Browser, answer: Answer
) -> None:
    service.then(answer)
    assert type(send(provider, browser, timeout_s=HANG_TIMEOUT_S)) is InDoubtError


def test_an_endless_body_is_not_read(service: WebhookReceiver, provider: Any, browser: Browser) -> None:
    service.then(huge)
    assert isinstance(send(provider, browser), Receipt)


@pytest.mark.parametrize(
    ("answer", "is_about_address"),
    [(status(403), True), (status(401), True), (status(429), True), (status(503), False)],
)
def test_what_is_about_one_subscription_does_not_speak_against_its_push_service(
    service: WebhookReceiver,
    provider: Any,
    browser: Browser,
    pair: KeyPair,
    answer: Answer,
    is_about_address: bool,
) -> None:
    service.then(answer)
    assert error_of(send(provider, browser), pair).is_about_address is is_about_address


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [(status(429, retry_after="7"), 7), (status(429), 60), (status(429, retry_after="900"), SETTINGS.retry_cap_s)],
    ids=["as told", "a minute where nothing is told", "no longer than we wait at all"],
)
def test_how_long_to_wait(
    service: WebhookReceiver, provider: Any, browser: Browser, answer: Answer, wait_s: float
) -> None:
    service.then(answer)
    found = send(provider, browser)
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == wait_s


# what is sent


def test_a_push_service_is_asked_as_the_standards_say(
    service: WebhookReceiver, provider: WebPushProvider, browser: Browser, pair: KeyPair
) -> None:
    service.then(TAKEN)
    found = send(provider, browser, text=" Hello ünïcode ", is_high=True, expires_at_ms=now_ms() + LATER_MS)
    assert found == Receipt()
    [request] = service.requests
    assert request.path == "/send/canary-of-a-subscription"
    headers = request.headers
    assert (headers["content-encoding"], headers["content-type"]) == ("aes128gcm", "application/octet-stream")
    assert int(headers["ttl"]) in range(85, 91)
    assert headers["urgency"] == "high"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", headers["topic"])
    token, key = re.fullmatch(r"vapid t=(\S+), k=(\S+)", headers["authorization"]).groups()  # type: ignore[union-attr]
    assert key == pair.public
    public = es256.read_key(pair.private).public_key()
    claims = jwt.decode(token, public, algorithms=["ES256"], audience=f"https://127.0.0.1:{service.port}")
    assert claims["sub"] == SUBJECT


def test_only_the_browser_can_read_it(service: WebhookReceiver, provider: Any, browser: Browser) -> None:
    send(provider, browser, text=" Hello ünïcode ")
    [request] = service.requests
    assert browser.read(request.body) == {
        "notification": {"title": "A new device", "body": "Hello ünïcode", "tag": "d-1"},
        "data": {
            "notification_id": "n-1",
            "delivery_id": "d-1",
            "event_type": "security_alert",
            "category": "security",
        },
    }
    assert b"Hello" not in request.body
    with pytest.raises(InvalidTag):
        Browser(browser.endpoint).read(request.body)


def test_what_is_not_high_may_wait_and_what_has_no_end_is_kept_longest(
    service: WebhookReceiver, provider: Any, browser: Browser
) -> None:
    send(provider, browser)
    [request] = service.requests
    assert (request.headers["urgency"], request.headers["ttl"]) == ("normal", str(28 * 24 * 3600))


@pytest.mark.parametrize("expires_in_ms", [-1, 400], ids=["over", "nearly over"])
def test_what_is_over_is_for_now_or_never(
    service: WebhookReceiver, provider: Any, browser: Browser, expires_in_ms: int
) -> None:
    send(provider, browser, expires_at_ms=now_ms() + expires_in_ms)
    assert service.requests[0].headers["ttl"] == "0"


def test_a_repetition_has_the_same_topic_and_another_delivery_another(
    service: WebhookReceiver, provider: Any, browser: Browser
) -> None:
    for delivery_id in ("d-7", "d-7", "d-8"):
        send(provider, browser, delivery_id)
    first, second, other = (request.headers["topic"] for request in service.requests)
    assert first == second != other


@pytest.mark.parametrize("sign", ["€", '"', "\u0001"])
def test_a_long_text_is_cut_to_what_push_services_take(
    service: WebhookReceiver, provider: Any, browser: Browser, sign: str
) -> None:
    send(provider, browser, subject=f"x{sign * 2000}x", text=f"x{sign * 9000}x")
    [request] = service.requests
    assert len(request.body) <= 4096
    assert browser.read(request.body)["notification"]["body"].endswith(f"{sign}…")


def test_nothing_to_show_is_refused_without_a_call(
    service: WebhookReceiver, provider: Any, browser: Browser, pair: KeyPair
) -> None:
    assert error_of(send(provider, browser, subject=" ", text=""), pair).reason == "invalid_content"
    assert service.requests == []


# whom it may reach


def test_the_address_has_one_form(provider: Any, browser: Browser) -> None:
    normal = provider.check_address(browser.token)
    assert provider.check_address(normal) == normal
    assert "expirationTime" not in normal


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("https://10.0.0.1/s", "forbidden_address"),
        ("https://169.254.169.254/latest", "forbidden_address"),
        ("https://[::ffff:127.0.0.2]/s", "forbidden_address"),
        ("https://192.168.1.1:8443/s", "forbidden_address"),
        ("http://push.example.com/s", "invalid_address"),
        ("https://user@push.example.com/s", "invalid_address"),
    ],
)
def test_inner_addresses_are_refused_without_a_call(provider: Any, endpoint: str, reason: str) -> None:
    with pytest.raises(PermanentError, match=reason):
        provider.check_address(Browser(endpoint).token)


def test_a_name_that_leads_inside_is_refused(pair: KeyPair, certificate: Certificate, service: WebhookReceiver) -> None:
    provider = made(pair, certificate, dataclasses.replace(SETTINGS, webhook_allow=""))
    inside = Browser(f"https://localhost:{service.port}/canary")
    assert error_of(send(provider, inside), pair).reason == "forbidden_address"
    provider.close()
    assert service.requests == []


@pytest.mark.parametrize("wrong", ["", "no JSON", "{}", '{"endpoint": "https://x.example", "keys": {}}'])
def test_what_is_no_subscription_is_refused(provider: Any, wrong: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        provider.check_address(wrong)


def test_a_key_that_is_not_on_the_curve_is_refused(provider: Any) -> None:
    browser = Browser("https://push.example.com/s")
    off_curve = browser.token.replace(es256.base64url(browser.p256dh), es256.base64url(b"\x04" + b"\x01" * 64))
    with pytest.raises(PermanentError, match="invalid_address"):
        provider.check_address(off_curve)


def test_breakers_belong_to_push_services(provider: Any) -> None:
    one, two = Browser("https://one.example/a"), Browser("https://two.example:8443/a")
    assert provider.terms.breaker_per_target
    assert [provider.breaker_key(browser.token) for browser in (one, two)] == ["one.example:443", "two.example:8443"]
    assert provider.breaker_key("") == provider.breaker_key("an FCM token") == "web-1"


# the connections


def test_connections_are_kept(service: WebhookReceiver, provider: Any, browser: Browser) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda number: send(provider, browser, f"d-{number}"), range(24)))
            assert all(isinstance(one, Receipt) for one in found)
    assert len(service.requests) == 72
    assert len({request.client_port for request in service.requests}) <= 8


def test_a_strange_certificate_has_taken_nothing(
    service: WebhookReceiver, browser: Browser, pair: KeyPair, tmp_path: Path
) -> None:
    provider = made(pair, make_certificate(tmp_path))
    assert type(error_of(send(provider, browser), pair)) is TransientError
    provider.close()
    assert service.requests == []


# the file of providers


@pytest.mark.parametrize(
    ("key", "told"), [("s3cret", "private_key is no private key of P-256"), ("", "private_key is no private key")]
)
def test_a_key_that_cannot_sign_is_named_and_not_quoted(certificate: Certificate, key: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"provider web-1: {told}") as caught:
        made(KeyPair(key, ""), certificate)
    assert "s3cret" not in str(caught.value)


def test_the_file_of_providers_makes_it_for_push(tmp_path: Path, pair: KeyPair) -> None:
    key, file = tmp_path / "vapid.pem", tmp_path / "providers.toml"
    key.write_text(pair.private)
    file.write_text(
        f'[[provider]]\nkind = "webpush"\nname = "w"\nprivate_key = {{ file = "{key}" }}\nsubject = "{SUBJECT}"\n'
    )
    [provider] = configured("push", dataclasses.replace(SETTINGS, providers=file))
    assert isinstance(provider, WebPushProvider)
    assert (provider.name, provider.terms.platforms) == ("w", ("webpush",))
    provider.close()


def test_no_subscription_and_no_key_is_logged_at_any_level(
    service: WebhookReceiver, provider: Any, browser: Browser, pair: KeyPair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service.then(TAKEN, status(410), drop, garbage)
    for _ in range(4):
        send(provider, browser)
    authorization = service.requests[0].headers["authorization"]
    secrets = ("canary", pair.private, es256.base64url(browser.auth), authorization, authorization.split()[1])
    assert not [one for one in secrets if one in caplog.text]
