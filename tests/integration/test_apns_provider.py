"""APNs against a stand-in that speaks HTTP/2 and answers as Apple documents: the right class of outcome each time."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.domain.clock import now_ms
from app.domain.errors import (
    ConfigError,
    DeadAddressError,
    DeliveryError,
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    ThrottledError,
    TransientError,
)
from app.domain.ports import Receipt
from app.domain.provider_file import ApnsEntry
from app.settings import Settings
from infrastructure.channels import es256, http2_connection
from infrastructure.channels.apns import ApnsProvider
from infrastructure.channels.configured import configured
from tests.support.apns_stand_in import (
    KEY,
    KEY_ID,
    TEAM_ID,
    TOPIC,
    Answer,
    ApnsStandIn,
    apns_stand_in,
    drop,
    garbage,
    go_away,
    half_an_answer,
    hang,
    last_answer,
    refuse,
    refused,
    reset,
)
from tests.support.certificate import Certificate, make_certificate
from tests.support.messages import message
from tests.support.ports import free_port

TOKEN = "0f" * 32
#: Long, so that what does answer does so in time on a machine that is busy; short for those that never do.
TIMEOUT_S, HANG_TIMEOUT_S = 5.0, 0.5
SETTINGS = dataclasses.replace(Settings(), provider_timeout_s=TIMEOUT_S, retry_cap_s=100.0)
LATER_MS = 90_000
HTML = b"<!DOCTYPE html><title>502</title>"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("apns"))


@pytest.fixture
def apple(certificate: Certificate) -> Iterator[ApnsStandIn]:
    with apns_stand_in(certificate.server) as stand_in:
        yield stand_in


def made(apple: ApnsStandIn, certificate: Certificate, key: str = KEY, **given: Any) -> Any:
    values = {"name": "apns-1", "key": "", "key_id": KEY_ID, "team_id": TEAM_ID, "topic": TOPIC, "url": apple.url}
    return ApnsProvider(ApnsEntry(**(values | given)), key, SETTINGS, certificate.client)


@pytest.fixture
def provider(apple: ApnsStandIn, certificate: Certificate) -> Iterator[Any]:
    provider = made(apple, certificate)
    yield provider
    provider.close()


def send(provider: Any, delivery_id: str = "d-1", *, timeout_s: float = TIMEOUT_S, **given: Any) -> Receipt | Exception:
    values = {"address": TOKEN} | given
    [answer] = provider.send([message(delivery_id, **values)], timeout_s)
    found: Receipt | Exception = answer
    return found


def error_of(found: Receipt | Exception) -> DeliveryError:
    """The error, which has neither a token nor the key in it, however it came about."""
    assert isinstance(found, DeliveryError), found
    error: BaseException | None = found
    while error is not None:
        assert not [one for one in (TOKEN, KEY, "bearer", "eyJ") if one in f"{error} {error!r}"]
        error = error.__cause__ or error.__context__
    return found


def until(is_so: Callable[[], object]) -> None:
    """Wait; pytest's time limit ends what never comes."""
    while not is_so():
        time.sleep(0.005)


# what an answer means


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "told"),
    [
        (refused(410, "Unregistered", timestamp=1), DeadAddressError, "unregistered", "HTTP 410, Unregistered"),
        (refused(410, "ExpiredToken"), DeadAddressError, "unregistered", "HTTP 410, ExpiredToken"),
        (refused(400, "BadDeviceToken"), PermanentError, "invalid_address", "BadDeviceToken: no token, or one of"),
        (refused(400, "DeviceTokenNotForTopic"), PermanentError, "provider_rejected", "another app than the topic"),
        (refused(400, "BadTopic"), TransientError, "provider_transient", "BadTopic: account or settings"),
        (refused(400, "TopicDisallowed"), TransientError, "provider_transient", "TopicDisallowed"),
        (refused(400, "MissingTopic"), TransientError, "provider_transient", "MissingTopic"),
        (refused(400, "IdleTimeout"), TransientError, "provider_transient", "IdleTimeout"),
        (refused(400, "BadPriority"), PermanentError, "provider_rejected", "HTTP 400, BadPriority"),
        (refused(403, "Forbidden"), TransientError, "provider_transient", "HTTP 403, Forbidden"),
        (refused(403, "BadEnvironmentKeyIdInToken"), TransientError, "provider_transient", "BadEnvironmentKeyId"),
        (refused(403, "MissingProviderToken"), TransientError, "provider_transient", "MissingProviderToken"),
        (refused(404, "BadPath"), TransientError, "provider_transient", "HTTP 404, BadPath"),
        (refused(405, "MethodNotAllowed"), TransientError, "provider_transient", "HTTP 405"),
        (refused(413, "PayloadTooLarge"), PermanentError, "provider_rejected", "HTTP 413, PayloadTooLarge"),
        (refused(429, "TooManyRequests"), ThrottledError, "provider_throttled", "HTTP 429, TooManyRequests"),
        (refused(429, "TooManyProviderTokenUpdates"), TransientError, "provider_transient", "TokenUpdates: account"),
        (refused(500, "InternalServerError"), TransientError, "provider_transient", "HTTP 500, InternalServerError"),
        (refused(503, "ServiceUnavailable"), TransientError, "provider_transient", "HTTP 503, ServiceUnavailable"),
        (refused(503, "Shutdown", retry_after="9"), ThrottledError, "provider_throttled", "HTTP 503, Shutdown"),
        ((502, HTML, {}), TransientError, "provider_transient", "HTTP 502"),
        ((400, b'{"reason": 7}', {}), PermanentError, "provider_rejected", "HTTP 400"),
        ((400, b'{"reason": "token 0f0f\\n"}', {}), PermanentError, "provider_rejected", "HTTP 400"),
        (half_an_answer, PermanentError, "provider_rejected", "HTTP 400"),
        (drop, InDoubtError, "in_doubt", "no answer"),
        (reset, InDoubtError, "in_doubt", "stream reset"),
        (garbage, InDoubtError, "in_doubt", "no answer"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_an_answer_means(
    apple: ApnsStandIn, provider: Any, answer: Answer, kind: type[DeliveryError], reason: str, told: str
) -> None:
    apple.answers.append(answer)
    found = error_of(send(provider))
    assert type(found) is kind, found
    assert (found.reason, told in found.detail) == (reason, True), found.detail
    assert len(apple.sent) == 1, "it is never asked twice"


@pytest.mark.parametrize(
    ("answer", "is_about_address"),
    [
        (refused(429, "TooManyRequests"), True),
        (refused(429, "TooManyProviderTokenUpdates"), False),
        (refused(400, "BadTopic"), False),
        (refused(503, "ServiceUnavailable"), False),
    ],
)
def test_what_is_about_one_device_does_not_speak_against_apns(
    apple: ApnsStandIn, provider: Any, answer: Answer, is_about_address: bool
) -> None:
    apple.answers.append(answer)
    assert error_of(send(provider)).is_about_address is is_about_address


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (refused(429, "TooManyRequests", retry_after="7"), 7),
        (refused(429, "TooManyRequests"), 60),
        (refused(503, "ServiceUnavailable", retry_after="900"), SETTINGS.retry_cap_s),
    ],
    ids=["as told", "a minute where nothing is told", "no longer than we wait at all"],
)
def test_how_long_to_wait(apple: ApnsStandIn, provider: Any, answer: Answer, wait_s: float) -> None:
    apple.answers.append(answer)
    found = send(provider)
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == wait_s


# what is sent


def test_apns_is_asked_as_it_documents(apple: ApnsStandIn, provider: Any) -> None:
    expires_at_ms = now_ms() + LATER_MS
    found = send(provider, text=" Hello ünïcode ", is_high=True, expires_at_ms=expires_at_ms, address=TOKEN.upper())
    [sent] = apple.sent
    assert found == Receipt(provider_id=sent.headers["apns-id"])
    assert sent.headers[":path"] == f"/3/device/{TOKEN}"
    assert sent.headers[":authority"] == f"127.0.0.1:{apple.port}"
    assert {name: value for name, value in sent.headers.items() if name.startswith("apns-") and name != "apns-id"} == {
        "apns-topic": TOPIC,
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-collapse-id": "d-1",
        "apns-expiration": str(expires_at_ms // 1000),
    }
    assert sent.payload == {
        "aps": {"alert": {"title": "A new device", "body": "Hello ünïcode"}},
        "notification_id": "n-1",
        "delivery_id": "d-1",
        "event_type": "security_alert",
        "category": "security",
    }


def test_what_is_not_high_may_wait_and_what_has_no_end_has_none(apple: ApnsStandIn, provider: Any) -> None:
    assert isinstance(send(provider), Receipt)
    [sent] = apple.sent
    assert sent.headers["apns-priority"] == "5"
    assert "apns-expiration" not in sent.headers


def test_a_repetition_has_the_same_ids_and_another_device_another(apple: ApnsStandIn, provider: Any) -> None:
    for address in (TOKEN, TOKEN, "ab" * 32):
        assert isinstance(send(provider, "d-7", address=address), Receipt)
    first, second, other = (sent.headers["apns-id"] for sent in apple.sent)
    assert first == second != other
    assert str(uuid.UUID(first)) == first
    assert {sent.headers["apns-collapse-id"] for sent in apple.sent} == {"d-7"}


def test_a_long_delivery_id_makes_no_longer_collapse_id_than_apple_takes(apple: ApnsStandIn, provider: Any) -> None:
    assert isinstance(send(provider, "d" * 200), Receipt)
    assert len(apple.sent[0].headers["apns-collapse-id"]) == 64


@pytest.mark.parametrize("sign", ["ü", "€", '"', "\u0001", "😀"])
def test_a_long_text_is_cut_to_what_apns_takes(apple: ApnsStandIn, provider: Any, sign: str) -> None:
    assert isinstance(send(provider, subject=f"x{sign * 2000}x", text=f"x{sign * 9000}x"), Receipt)
    [sent] = apple.sent
    assert sent.size <= 4096
    alert = sent.payload["aps"]["alert"]
    assert alert["body"].startswith(f"x{sign}")
    assert alert["body"].endswith(f"{sign}…")
    assert len(json.dumps(alert["body"], ensure_ascii=False).encode()) > 2000


def test_nothing_to_show_is_refused_without_a_call(apple: ApnsStandIn, provider: Any) -> None:
    assert error_of(send(provider, subject=" ", text="")).reason == "invalid_content"
    assert apple.connections == 0


@pytest.mark.parametrize("wrong", ["", "no hex at all, but long enough", "abc", "0f" * 3000, "0f0f\n" * 8])
def test_what_is_no_token_is_refused(provider: Any, wrong: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        provider.check_address(wrong)


# the provider token


def test_one_provider_token_does_for_many_calls(apple: ApnsStandIn, provider: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(isinstance(one, Receipt) for one in pool.map(lambda n: send(provider, f"d-{n}"), range(40)))
    assert len(apple.provider_tokens) == 1


def test_one_that_has_come_to_its_end_is_renewed_once(apple: ApnsStandIn, provider: Any) -> None:
    assert isinstance(send(provider), Receipt)
    apple.refuse_tokens()
    with ThreadPoolExecutor(8) as pool:
        assert all(isinstance(one, Receipt) for one in pool.map(lambda n: send(provider, f"d-{n}"), range(8)))
    assert len(apple.provider_tokens) == 2
    assert max(apple.calls.values()) <= 1 + 2 * 8


def test_one_that_is_never_taken_is_no_loop_and_no_flood_of_tokens(
    apple: ApnsStandIn, certificate: Certificate
) -> None:
    provider = made(apple, certificate, es256.pem_of(es256.new_key()))
    found = [error_of(send(provider, f"d-{number}")) for number in range(5)]
    provider.close()
    assert {type(one) for one in found} == {TransientError}
    assert "InvalidProviderToken" in found[0].detail
    assert (len(apple.sent), len(apple.provider_tokens)) == (6, 2)


def test_a_topic_that_is_not_ours_fails_no_delivery(apple: ApnsStandIn, certificate: Certificate) -> None:
    provider = made(apple, certificate, topic="com.example.other")
    assert type(error_of(send(provider))) is TransientError
    provider.close()


# the connection


def test_many_requests_run_over_one_connection_at_a_time(apple: ApnsStandIn, provider: Any) -> None:
    apple.latency_s = 0.02
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: send(provider, f"d-{number}"), range(160)))
    assert all(isinstance(one, Receipt) for one in found)
    assert apple.connections == 1
    assert 4 < apple.most_at_once <= 16


def test_no_more_run_at_a_time_than_apns_takes(apple: ApnsStandIn, provider: Any) -> None:
    apple.latency_s, apple.max_streams = 0.01, 3
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: send(provider, f"d-{number}"), range(64)))
    assert all(isinstance(one, Receipt) for one in found)
    assert (apple.connections, apple.most_at_once) == (1, 3)


def test_until_the_first_token_was_good_one_runs_at_a_time(apple: ApnsStandIn, provider: Any) -> None:
    apple.latency_s, apple.first_streams = 0.02, 1
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: send(provider, f"d-{number}"), range(64)))
    assert all(isinstance(one, Receipt) for one in found)
    assert apple.connections == 1
    assert apple.most_at_once > 1


def test_who_finds_no_place_in_time_has_handed_nothing_over(apple: ApnsStandIn, provider: Any) -> None:
    apple.max_streams = 1
    apple.answers.append(hang)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, provider, "d-1", timeout_s=3.0)
        until(lambda: apple.sent)
        second = error_of(send(provider, "d-2", timeout_s=0.2))
        assert isinstance(first.result(), InDoubtError)
    assert type(second) is ProviderTimeoutError
    assert len(apple.sent) == 1


def test_a_call_that_hangs_ends_in_time_and_the_next_takes_another_connection(
    apple: ApnsStandIn, provider: Any
) -> None:
    apple.answers.append(hang)
    assert type(error_of(send(provider, timeout_s=HANG_TIMEOUT_S))) is InDoubtError
    assert isinstance(send(provider), Receipt)
    assert [sent.connection for sent in apple.sent] == [1, 2]


def test_one_that_hangs_leaves_the_others_of_its_connection_alone(apple: ApnsStandIn, provider: Any) -> None:
    slow, hung = "aa" * 32, "bb" * 32
    apple.by_token[hung] = deque([hang])
    assert isinstance(send(provider), Receipt)
    apple.latency_s = 1.0
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, provider, "d-1", address=slow)
        until(lambda: len(apple.sent) == 2)
        second = pool.submit(send, provider, "d-2", address=hung, timeout_s=0.3)
        assert isinstance(second.result(), InDoubtError)
        assert isinstance(first.result(), Receipt)
    assert (apple.connections, apple.resets) == (1, 1)


def test_a_slow_answer_is_waited_for(apple: ApnsStandIn, provider: Any) -> None:
    apple.latency_s = 0.7
    assert isinstance(send(provider), Receipt)


@pytest.mark.parametrize("deed", [refuse, go_away], ids=["REFUSED_STREAM", "GOAWAY"])
def test_what_was_not_looked_at_is_sent_again_at_once(apple: ApnsStandIn, provider: Any, deed: Answer) -> None:
    apple.answers.append(deed)
    assert isinstance(send(provider), Receipt)
    first, second = apple.sent
    assert first.headers["apns-id"] == second.headers["apns-id"]


def test_what_is_never_looked_at_was_not_taken(apple: ApnsStandIn, provider: Any) -> None:
    apple.answers.extend([refuse] * 9)
    assert type(error_of(send(provider))) is TransientError
    assert len(apple.sent) == 2


def test_an_answer_behind_a_goaway_is_heard_and_the_next_call_takes_another_connection(
    apple: ApnsStandIn, provider: Any
) -> None:
    apple.answers.append(last_answer)
    assert isinstance(send(provider, "d-1"), Receipt)
    assert isinstance(send(provider, "d-2"), Receipt)
    assert [sent.connection for sent in apple.sent] == [1, 2]


def test_a_connection_that_ended_while_idle_is_noticed_before_the_next_call(apple: ApnsStandIn, provider: Any) -> None:
    assert isinstance(send(provider), Receipt)
    apple.cut_all()
    assert isinstance(send(provider), Receipt)
    assert [sent.connection for sent in apple.sent] == [1, 2]


def test_a_silent_connection_is_asked_whether_it_stands(
    apple: ApnsStandIn, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(send(provider), Receipt)
    monkeypatch.setattr(http2_connection, "SILENT_S", 0.0)
    monkeypatch.setattr(http2_connection, "PING_S", 0.3)
    assert isinstance(send(provider), Receipt)
    assert (apple.pings, apple.connections) == (1, 1)
    apple.deaf_up_to = 1
    assert isinstance(send(provider), Receipt)
    assert [sent.connection for sent in apple.sent] == [1, 1, 2]


def test_a_connection_is_not_used_for_ever(apple: ApnsStandIn, provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(send(provider), Receipt)
    monkeypatch.setattr("infrastructure.channels.http2_client._AGE_S", 0.0)
    assert isinstance(send(provider), Receipt)
    assert apple.connections == 2


def test_threads_that_come_at_once_open_one_connection_and_close_it_with_the_provider(
    apple: ApnsStandIn, provider: Any
) -> None:
    gate = threading.Barrier(16)

    def go(number: int) -> Receipt | Exception:
        gate.wait()
        return send(provider, f"d-{number}")

    with ThreadPoolExecutor(16) as pool:
        assert all(isinstance(one, Receipt) for one in pool.map(go, range(16)))
    assert apple.connections == 1
    provider.close()
    until(lambda: not apple.open)
    assert isinstance(send(provider), Receipt), "after close it can be used again"


def test_a_cut_connection_leaves_each_call_in_doubt(apple: ApnsStandIn, provider: Any) -> None:
    cut = "cc" * 32
    assert isinstance(send(provider), Receipt)
    apple.latency_s = 0.3
    with ThreadPoolExecutor(8) as pool:
        under_way = [pool.submit(send, provider, f"d-{number}", address=cut) for number in range(8)]
        until(lambda: apple.calls[cut] == 8)
        apple.cut_all()
        assert {type(one.result()) for one in under_way} == {InDoubtError}


def test_nobody_there_and_a_strange_certificate_have_taken_nothing(
    apple: ApnsStandIn, certificate: Certificate, tmp_path: Path
) -> None:
    gone = made(apple, certificate, url=f"https://127.0.0.1:{free_port()}")
    strange = made(apple, make_certificate(tmp_path))
    assert [error_of(send(one)).detail for one in (gone, strange)] == ["no connection", "TLS failed"]
    assert {type(send(one)) for one in (gone, strange)} == {TransientError}
    for one in (gone, strange):
        one.close()


def test_a_server_without_http2_has_taken_nothing(tmp_path: Path) -> None:
    own = make_certificate(tmp_path)
    with apns_stand_in(own.server, alpn="http/1.1") as old:
        provider = made(old, own)
        assert error_of(send(provider)).detail == "no HTTP/2"
        assert type(send(provider)) is TransientError
        provider.close()


# the file of providers


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"key": "s3cret"}, "provider apns-1: key is no private key of P-256"),
        ({"key": KEY.replace("BEGIN", "S3cret")}, "provider apns-1: key is no private key of P-256"),
        ({"url": "http://127.0.0.1:1"}, "provider apns-1: url must be https"),
        ({"url": "s3cret"}, r"provider apns-1: url is not an http\(s\) URL"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(
    apple: ApnsStandIn, certificate: Certificate, given: dict[str, str], told: str
) -> None:
    settings = {name: value for name, value in given.items() if name != "key"}
    with pytest.raises(ConfigError, match=told) as caught:
        made(apple, certificate, given.get("key", KEY), **settings)
    assert "s3cret" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("more", "host"),
    [
        ("", "api.push.apple.com"),
        ('environment = "sandbox"', "api.sandbox.push.apple.com"),
        ('url = "https://127.0.0.1:2197"', "127.0.0.1"),
    ],
)
def test_the_file_of_providers_makes_it_for_push(tmp_path: Path, more: str, host: str) -> None:
    key, file = tmp_path / "AuthKey.p8", tmp_path / "providers.toml"
    key.write_text(KEY)
    file.write_text(
        f'[[provider]]\nkind = "apns"\nname = "a"\nkey = {{ file = "{key}" }}\nkey_id = "{KEY_ID}"\n'
        f'team_id = "{TEAM_ID}"\ntopic = "{TOPIC}"\n{more}\n'
    )
    [provider] = configured("push", dataclasses.replace(SETTINGS, providers=file))
    assert isinstance(provider, ApnsProvider)
    assert (provider.name, provider.breaker_key(TOKEN), provider.terms.platforms) == ("a", "a", ("apns",))
    assert provider._client._target.host == host
    provider.close()


def test_no_token_and_no_key_is_logged_at_any_level(
    apple: ApnsStandIn, provider: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "cafe" * 16
    for answer in (None, refused(400, "BadDeviceToken"), drop, refuse):
        apple.answers.extend([answer] if answer is not None else [])
        send(provider, address=canary)
    authorization = apple.sent[0].headers["authorization"]
    assert canary not in caplog.text
    assert authorization not in caplog.text
    assert authorization.removeprefix("bearer ") not in caplog.text
