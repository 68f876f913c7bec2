"""FCM against a stand-in that answers as Google documents: the right class of outcome each time."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
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
    ThrottledError,
    TransientError,
)
from app.domain.ports import Receipt
from app.domain.provider_file import FcmEntry
from app.settings import Settings
from infrastructure.channels.configured import configured
from infrastructure.channels.fcm import FcmProvider
from tests.support.fcm_stand_in import PROJECT, Answer, FcmStandIn, Sent, error, fcm_stand_in
from tests.support.google_account import EMAIL, account, claims_of
from tests.support.messages import message
from tests.support.soon import SOON_S, soon

TOKEN = "token-of-a-phone"
TIMEOUT_S = 2.0
SETTINGS = dataclasses.replace(Settings(), provider_timeout_s=TIMEOUT_S, retry_cap_s=100.0)
HTML = b"<!DOCTYPE html><title>502</title>"
LATER_MS = 90_000


@pytest.fixture
def google() -> Iterator[FcmStandIn]:
    with fcm_stand_in() as stand_in:
        yield stand_in


def made(google: FcmStandIn, service_account: str = "", **given: Any) -> Any:
    entry = FcmEntry(**({"name": "fcm-1", "service_account": "", "url": google.url} | given))
    return FcmProvider(entry, service_account or account(google.url), SETTINGS)


@pytest.fixture
def provider(google: FcmStandIn) -> Iterator[Any]:
    provider = made(google)
    yield provider
    provider.close()


def send(provider: Any, delivery_id: str = "d-1", **given: Any) -> Receipt | Exception:
    values = {"address": TOKEN} | given
    [answer] = provider.send([message(delivery_id, **values)], TIMEOUT_S)
    found: Receipt | Exception = answer
    return found


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "told"),
    [
        (error(404, "NOT_FOUND", "UNREGISTERED"), DeadAddressError, "unregistered", "HTTP 404, UNREGISTERED"),
        (error(404, "NOT_FOUND"), TransientError, "provider_transient", "HTTP 404, NOT_FOUND"),
        (error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), PermanentError, "invalid_address", "INVALID_ARGUMENT"),
        (error(400, "INVALID_ARGUMENT", fields=("message.token",)), PermanentError, "invalid_address", "400"),
        (error(400, "INVALID_ARGUMENT", fields=("message.data[0].value",)), PermanentError, "provider_rejected", "400"),
        (
            error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", fields=("message.android.ttl",)),
            PermanentError,
            "provider_rejected",
            "400",
        ),
        (error(400, "INVALID_ARGUMENT"), PermanentError, "provider_rejected", "400"),
        (error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), PermanentError, "provider_rejected", "SENDER_ID"),
        (error(403, "PERMISSION_DENIED"), TransientError, "provider_transient", "HTTP 403, PERMISSION_DENIED"),
        (error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), TransientError, "provider_transient", "THIRD_PARTY"),
        (error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), ThrottledError, "provider_throttled", "QUOTA_EXCEEDED"),
        (error(503, "UNAVAILABLE", "UNAVAILABLE"), TransientError, "provider_transient", "HTTP 503, UNAVAILABLE"),
        (error(503, "UNAVAILABLE", "UNAVAILABLE", retry_after="9"), ThrottledError, "provider_throttled", "UNAV"),
        (error(500, "INTERNAL", "INTERNAL"), TransientError, "provider_transient", "HTTP 500, INTERNAL"),
        ((502, HTML, {}), TransientError, "provider_transient", "HTTP 502"),
        ((400, b'{"error": "old form"}', {}), PermanentError, "provider_rejected", "HTTP 400"),
        (None, InDoubtError, "in_doubt", "no answer"),
    ],
    ids=[
        *("UNREGISTERED", "no such project", "token", "token's field", "payload's field", "payload's field by FCM"),
        *("400 alone", "SENDER_ID_MISMATCH", "403 alone", "THIRD_PARTY_AUTH_ERROR", "QUOTA_EXCEEDED", "UNAVAILABLE"),
        *("UNAVAILABLE with a time", "INTERNAL", "a page", "another form", "hangs up"),
    ],
)
def test_what_an_answer_means(
    google: FcmStandIn, provider: Any, answer: Answer, kind: type[DeliveryError], reason: str, told: str
) -> None:
    google.answers.append(answer)
    found = send(provider)
    assert type(found) is kind, found
    assert isinstance(found, DeliveryError)
    assert (found.reason, told in found.detail) == (reason, True), found.detail
    assert TOKEN not in str(found)
    assert len(google.sent) == 1, "it is never asked twice"


@pytest.mark.parametrize(
    ("answer", "is_about_address"),
    [(error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), True), (error(401, "UNAUTHENTICATED"), False)],
    ids=["the project's credentials for Apple or browsers", "our own"],
)
def test_credentials_that_only_some_platforms_need_do_not_speak_against_fcm(
    google: FcmStandIn, provider: Any, answer: Answer, is_about_address: bool
) -> None:
    google.answers.extend([answer] * 2)
    found = send(provider)
    assert isinstance(found, TransientError)
    assert found.is_about_address is is_about_address


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after="7"), 7),
        (error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), 60),
        (error(429, "RESOURCE_EXHAUSTED", retry_after="900"), SETTINGS.retry_cap_s),
    ],
    ids=["as told", "a minute where nothing is told", "no longer than we wait at all"],
)
def test_how_long_to_wait(google: FcmStandIn, provider: Any, answer: Answer, wait_s: float) -> None:
    google.answers.append(answer)
    found = send(provider)
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == wait_s


def test_fcm_is_asked_as_it_documents(google: FcmStandIn, provider: Any) -> None:
    expires_at_ms = now_ms() + LATER_MS
    found = send(provider, text=" Hello ünïcode ", is_high=True, expires_at_ms=expires_at_ms)
    assert found == Receipt(provider_id=f"projects/{PROJECT}/messages/1")
    [sent] = google.sent
    assert sent.path == f"/v1/projects/{PROJECT}/messages:send"
    assert sent.headers["authorization"] == "Bearer access-1"
    assert sent.message["token"] == TOKEN
    assert sent.message["notification"] == {"title": "A new device", "body": "Hello ünïcode"}
    ids = {"notification_id": "n-1", "delivery_id": "d-1", "event_type": "security_alert", "category": "security"}
    assert sent.message["data"] == ids
    android, apns, web = sent.message["android"], sent.message["apns"]["headers"], sent.message["webpush"]
    assert (android["collapse_key"], android["priority"], android["notification"]) == ("d-1", "HIGH", {"tag": "d-1"})
    assert int(android["ttl"].removesuffix("s")) in range(85, 91)
    assert apns == {"apns-collapse-id": "d-1", "apns-priority": "10", "apns-expiration": str(expires_at_ms // 1000)}
    assert int(web["headers"]["TTL"]) in range(85, 91)
    assert (web["headers"]["Urgency"], len(web["headers"]["Topic"])) == ("high", 32)
    assert web["notification"] == {"tag": "d-1"}


def test_what_is_not_high_may_wait_and_what_has_no_end_has_none(google: FcmStandIn, provider: Any) -> None:
    send(provider)
    [sent] = google.sent
    assert sent.message["android"]["priority"] == "NORMAL"
    assert "ttl" not in sent.message["android"]
    assert sent.message["apns"]["headers"] == {"apns-collapse-id": "d-1", "apns-priority": "5"}
    assert "TTL" not in sent.message["webpush"]["headers"]


def test_a_repetition_has_the_same_keys(google: FcmStandIn, provider: Any) -> None:
    for _ in range(2):
        send(provider, "d-7")
    first, second = (sent.message for sent in google.sent)
    assert first == second


@pytest.mark.parametrize("expires_in_ms", [-1, 400], ids=["over", "nearly over"])
def test_what_is_over_is_for_now_or_never(google: FcmStandIn, provider: Any, expires_in_ms: int) -> None:
    send(provider, expires_at_ms=now_ms() + expires_in_ms)
    assert google.sent[0].message["android"]["ttl"] == "0s"


def test_a_long_text_is_cut_to_what_fcm_takes(google: FcmStandIn, provider: Any) -> None:
    assert isinstance(send(provider, subject="ü" * 2000, text="€" * 9000, expires_at_ms=2**52), Receipt)
    [sent] = google.sent
    assert sent.message["notification"]["body"].endswith("€…")
    assert len(json.dumps(sent.message, ensure_ascii=False).encode()) < 4096
    assert sent.message["android"]["ttl"] == f"{28 * 24 * 3600}s"


def test_nothing_to_show_is_refused_without_a_call(google: FcmStandIn, provider: Any) -> None:
    found = send(provider, subject=" ", text="")
    assert isinstance(found, PermanentError)
    assert found.reason == "invalid_content"
    assert google.sent == []


@pytest.mark.parametrize("wrong", ["", "with a blank", "lines\n", "ünïcode", "x" * 4097])
def test_what_is_no_token_is_refused(provider: Any, wrong: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        provider.check_address(wrong)


# the access token


def test_one_access_token_does_for_many_calls_and_is_asked_for_as_google_documents(
    google: FcmStandIn, provider: Any
) -> None:
    for _ in range(3):
        send(provider)
    [assertion] = google.assertions
    claims = claims_of(assertion)
    assert claims["iss"] == EMAIL
    assert claims["aud"] == f"{google.url}/token"
    assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
    assert claims["exp"] - claims["iat"] == 3600


def test_one_that_has_come_to_its_end_is_renewed_once(google: FcmStandIn, provider: Any) -> None:
    send(provider)
    google.forget_access()
    assert isinstance(send(provider), Receipt)
    assert [sent.headers["authorization"] for sent in google.sent] == [
        "Bearer access-1",
        "Bearer access-1",
        "Bearer access-2",
    ]


def test_one_that_is_never_taken_is_no_loop(google: FcmStandIn, provider: Any) -> None:
    google.answers.extend([error(401, "UNAUTHENTICATED")] * 9)
    found = send(provider)
    assert type(found) is TransientError
    assert (len(google.sent), len(google.assertions)) == (2, 2)


def test_it_is_renewed_before_its_end_by_one_while_the_others_go_on(google: FcmStandIn, provider: Any) -> None:
    google.token_life_s = 200.0  # below the time before the end at which it is renewed
    send(provider)
    google.token_life_s = 3600.0
    google.latency_s = 0.05
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: send(provider, f"d-{number}"), range(64)))
    assert all(isinstance(one, Receipt) for one in found)
    assert len(google.assertions) == 2


def test_a_burst_at_the_start_asks_once(google: FcmStandIn, provider: Any) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert all(isinstance(one, Receipt) for one in pool.map(lambda n: send(provider, f"d-{n}"), range(32)))
    assert len(google.assertions) == 1


def test_a_renewal_that_fails_early_leaves_the_old_one(google: FcmStandIn, provider: Any) -> None:
    google.token_life_s = 200.0
    send(provider)
    google.token_answers.append((500, b"", {}))
    assert isinstance(send(provider), Receipt)


@pytest.mark.parametrize(
    "answer",
    [(400, b'{"error": "invalid_grant", "error_description": "s3cret"}', {}), (500, b"", {}), (200, b"{}", {}), None],
    ids=["refused", "500", "nothing in it", "hangs up"],
)
def test_without_an_access_token_nothing_is_sent(google: FcmStandIn, provider: Any, answer: Answer) -> None:
    google.token_answers.append(answer)
    found = send(provider)
    assert type(found) is TransientError
    assert "no access token" in found.detail
    assert "s3cret" not in str(found)
    assert google.sent == []


def test_those_who_waited_for_a_renewal_that_failed_do_not_ask_one_after_the_other(
    google: FcmStandIn, provider: Any
) -> None:
    google.token_answers.extend([(500, b"", {})] * 99)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: send(provider, f"d-{number}"), range(8)))
    assert all(isinstance(one, TransientError) for one in found)
    assert len(google.assertions) < 3


# the connections


def test_connections_are_kept_as_many_as_there_are_calls_at_a_time(google: FcmStandIn, provider: Any) -> None:
    google.latency_s = 0.02
    send(provider)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            list(pool.map(lambda number: send(provider, f"d-{number}"), range(40)))
    assert len({sent.client_port for sent in google.sent}) <= 9


def test_an_outside_that_hangs_holds_the_call_no_longer_than_its_time(google: FcmStandIn, provider: Any) -> None:
    send(provider)
    free = threading.Event()

    def hang(_sent: Sent) -> None:
        free.wait(2 * SOON_S)

    google.on_send = hang
    with soon("the call"):
        [found] = provider.send([message(address=TOKEN)], 0.3)
    free.set()
    assert isinstance(found, InDoubtError)


# the file of providers


@pytest.mark.parametrize(
    ("service_account", "told"),
    [
        ("no JSON", "service_account is no key file"),
        ('{"client_email": "x"}', "service_account is no key file"),
        ('{"client_email": "x", "private_key": "s3cret", "project_id": "p"}', "private_key is no RSA key"),
    ],
)
def test_a_service_account_that_cannot_sign_is_refused_and_not_quoted(
    google: FcmStandIn, service_account: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=f"provider fcm-1: .*{told}") as caught:
        made(google, service_account)
    assert "s3cret" not in str(caught.value)


def test_the_file_of_providers_makes_it_for_push(google: FcmStandIn, tmp_path: Path) -> None:
    key, file = tmp_path / "key.json", tmp_path / "providers.toml"
    key.write_text(account(google.url))
    file.write_text(
        f'[[provider]]\nkind = "fcm"\nname = "f"\nservice_account = {{ file = "{key}" }}\nurl = "{google.url}"\n'
    )
    [provider] = configured("push", dataclasses.replace(SETTINGS, providers=file))
    assert isinstance(send(provider), Receipt)
    assert (provider.name, provider.breaker_key(TOKEN), provider.terms.platforms) == ("f", "f", ("fcm",))
    provider.close()


def test_the_project_is_that_of_the_file_else_of_the_account(google: FcmStandIn) -> None:
    provider = made(google, project_id="other")
    send(provider)
    provider.close()
    assert google.sent[0].path == "/v1/projects/other/messages:send"
    with pytest.raises(ConfigError, match="project_id"):
        made(google, account(google.url, project_id=""))
