"""A chat's URL on its whole way: given once, then sealed in Kafka, SQL, the history, and whatever is shown."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from flask.testing import FlaskClient

from app.domain.codec import decode, encode
from app.domain.event import Event, Options, To
from app.domain.users import Contacts, User
from app.http.services import Services
from infrastructure import wiring
from infrastructure.channels.chat import ChatProvider
from infrastructure.sealing import Sealing
from tests.support.chain import Chain
from tests.support.deliveries import delivery
from tests.support.http_services import EVENT, SECRET, RecordingLog
from tests.support.webhook_receiver import WebhookReceiver, answering, status, webhook_receiver

TOKEN = "JHMHI8qBe7bk2ZwO5U711o3dV_js"
URL = f"discord://4174216298/{TOKEN}"
USER = "/api/v1/users/user-001"
PATH = "/api/v1/notifications"
OPTIONS = {"channels": ["chat"], "to": {"chat": URL}}


@pytest.fixture
def discord(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://127.0.0.1:{receiver.port}/api/webhooks")
        yield receiver


@pytest.fixture
def reaching(chain: Chain, discord: WebhookReceiver) -> Iterator[Chain]:
    """The chain, with a chat provider that may reach this machine."""
    assert discord.port
    settings = dataclasses.replace(chain.context.settings, webhook_allow="127.0.0.1/32")
    provider = ChatProvider(settings, wiring.secret(settings))
    chain.provide("chat", provider)
    yield chain
    provider.close()


def sealed_chat(body: bytes) -> str:
    event = decode(body, Event)
    assert event.options.to is not None
    return str(event.options.to.chat)


# over HTTP


def test_what_is_accepted_is_sealed_before_it_is_on_kafka(http: FlaskClient, http_log: RecordingLog) -> None:
    assert http.post(PATH, json=EVENT | {"options": OPTIONS}).status_code == 202
    [record] = http_log.records
    assert TOKEN.encode() not in record.body
    assert Sealing(SECRET).open(sealed_chat(record.body)) == URL


def test_so_it_is_in_a_batch(http: FlaskClient, http_log: RecordingLog) -> None:
    assert http.post(f"{PATH}/batch", json=[EVENT, EVENT | {"options": OPTIONS}]).status_code == 202
    assert len(http_log.records) == 2
    assert not any(TOKEN.encode() in record.body for record in http_log.records)


def test_a_repetition_is_known_although_no_two_seals_are_alike(http: FlaskClient, http_log: RecordingLog) -> None:
    event, headers = EVENT | {"options": OPTIONS}, {"Idempotency-Key": "k"}
    first, second = (http.post(PATH, json=event, headers=headers) for _ in range(2))
    assert (first.status_code, first.json) == (second.status_code, second.json)
    other = http.post(PATH, json=EVENT | {"options": {"to": {"chat": f"{URL}x"}}}, headers=headers)
    assert (other.status_code, len(http_log.records)) == (422, 1)


def test_what_is_no_chat_url_is_named_and_not_quoted(http: FlaskClient) -> None:
    answer = http.post(PATH, json=EVENT | {"options": {"to": {"chat": TOKEN}}})
    assert answer.status_code == 422
    assert [error["pointer"] for error in json.loads(answer.data)["errors"]] == ["/options/to/chat"]
    assert TOKEN not in answer.text


def test_a_contact_is_stored_and_shown_sealed_and_may_be_sent_back(http: FlaskClient, http_services: Services) -> None:
    put = http.put(USER, json={"contacts": {"chat": URL, "email": "a@example.com"}})
    assert put.status_code == 201
    shown = http.get(USER)
    assert TOKEN not in put.text + shown.text
    stored = http_services.users.recipients(["user-001"])["user-001"].contacts.chat
    assert stored == shown.json["contacts"]["chat"]
    assert Sealing(SECRET).open(str(stored)) == URL
    assert http.put(USER, json=shown.json).status_code == 200
    assert http.get(USER).json == shown.json


def test_explain_tells_the_service_alone(http: FlaskClient) -> None:
    http.put(USER, json={"contacts": {"chat": URL}})
    for options in (OPTIONS, {"channels": ["chat"]}):
        answer = http.post("/api/v1/explain", json=EVENT | {"options": options})
        [found] = answer.json["deliveries"]
        assert (found["address"]["masked"], found["provider"]["name"]) == ("discord://***", "apprise")
        assert found["verdict"]["status"] == "sent"
        assert TOKEN not in answer.text
    forbidden = http.post("/api/v1/explain", json=EVENT | {"options": OPTIONS | {"to": {"chat": f"json://{TOKEN}/"}}})
    [found] = forbidden.json["deliveries"]
    assert found["verdict"]["reason"] == "forbidden_address"
    assert TOKEN not in forbidden.text


# through the chain


def of_all_tables(path: Path) -> str:
    """All that a SQLite file holds, as text."""
    connection = sqlite3.connect(path)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def to(chain: Chain, url: str = URL, **given: Any) -> Any:
    sealed = Sealing(wiring.secret(chain.context.settings)).seal(url)
    return delivery(channel="chat", options=Options(to=To(chat=sealed)), **given)


def test_a_delivery_is_sent_and_no_outcome_or_parked_row_has_the_url(reaching: Chain, discord: WebhookReceiver) -> None:
    discord.then(status(204), status(500))
    ran = reaching.run(to(reaching))
    assert ran.told == [("sent", "")]
    assert [outcome.provider for outcome in ran.outcomes] == ["apprise"]
    parked = reaching.run(to(reaching))
    assert parked.told == [("parked", "provider_transient")]
    assert TOKEN.encode() not in encode([*ran.outcomes, *parked.outcomes, *reaching.parked()])
    assert TOKEN not in of_all_tables(reaching.context.settings.state_dir / "notify.db")
    assert all(TOKEN in request.path for request in discord.requests), "the service alone has it"


def test_a_contact_goes_through_sealed(reaching: Chain, discord: WebhookReceiver) -> None:
    settings = reaching.context.settings
    sealed = Sealing(wiring.secret(settings)).seal(URL)
    wiring.users(settings).put(User(id="anna", contacts=Contacts(chat=sealed)))
    ran = reaching.run(delivery(channel="chat", user_id="anna"))
    assert ran.told == [("sent", "")]
    assert ran.batch.items[0].address == sealed
    assert len(discord.requests) == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("json://127.0.0.1/x", ("failed", "forbidden_address")),
        ("discord://nothing", ("failed", "invalid_address")),
    ],
)
def test_what_the_channel_does_not_take_fails_with_its_reason(reaching: Chain, url: str, told: tuple[str, str]) -> None:
    assert reaching.run(to(reaching, url)).told == [told]


def test_an_outage_of_a_service_parks_its_deliveries_and_no_others(
    reaching: Chain, discord: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    discord.then(*[status(500)] * 20)
    ran = reaching.run(*(to(reaching) for _ in range(30)))
    assert {(verdict.reason, verdict.detail) for verdict in ran.verdicts} == {
        ("provider_transient", "HTTP 500"),
        ("breaker_open", ""),
    }
    with webhook_receiver() as slack:
        slack.then(answering(200, b"ok"))
        monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{slack.port}/services")
        assert reaching.run(to(reaching, "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7")).told == [("sent", "")]
