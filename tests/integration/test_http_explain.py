"""POST /api/v1/explain: the whole decision, masked, and nothing done."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from msgspec import structs

from app.domain.event import MAX_EVENT_BYTES
from app.domain.outcome import Reason
from app.domain.ports import UserCharge
from app.domain.users import Contacts, Preferences, QuietHours, User
from app.http.services import Services
from infrastructure.channels.registry import ChannelRegistry
from infrastructure.redis.client import make_client
from infrastructure.redis.limit_book import RedisLimitBook
from infrastructure.redis.user_limits import RedisUserLimits
from tests.support.http_services import EVENT, RecordingLog, client_without
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

PATH = "/api/v1/explain"
ADDRESS = "anna.smith@example.com"
HOOK = "https://hooks.example/services/T0?key=secret"
MS = 1000


@pytest.fixture
def anna(http_services: Services) -> User:
    user = User(id="anna", contacts=Contacts(email=ADDRESS, webhook=HOOK), timezone="Europe/Berlin")
    http_services.users.put(user)
    return user


def explained(client: FlaskClient, **given: Any) -> Any:
    answer = client.post(PATH, json=EVENT | {"user_id": "anna"} | given)
    assert answer.status_code == 200, answer.data
    assert ADDRESS not in answer.text
    assert "secret" not in answer.text
    return answer.json


def only(document: Any) -> Any:
    [delivery] = document["deliveries"]
    return delivery


@pytest.mark.usefixtures("anna")
def test_the_whole_decision_is_told(http: FlaskClient, http_log: RecordingLog) -> None:
    found = explained(http, options={"channels": ["email"], "ttl_s": 60})
    at, expires_at = found.pop("at"), found.pop("expires_at")
    assert at < expires_at
    assert found["deliveries"][0]["content"].pop("html").startswith("<!doctype html>")
    assert found == {
        "user_id": "anna",
        "event_type": "security_alert",
        "is_named": True,
        "category": "account",
        "critical": False,
        "priority": {"value": "high", "from": "catalogue"},
        "channels": {"value": ["email"], "from": "options"},
        "ttl_s": {"value": 60, "from": "options"},
        "user": {"is_known": True, "locale": "en", "timezone": "Europe/Berlin"},
        "verdict": None,
        "deliveries": [
            {
                "channel": "email",
                "lane": "high.email",
                "provider": {"is_configured": True, "name": "smtp"},
                "address": {"is_found": True, "from": "user", "masked": "a***@example.com"},
                "preferences": {"is_ignored": False, "is_wanted": True},
                "user_limits": {"limits": [{"limit": "user", "rate": "600/3600s:600", "left": 600}]},
                "lane_limits": {},
                "breaker": {"state": "closed"},
                "content": {"subject": "security_alert", "text": "Suspicious login attempt"},
                "verdict": {"status": "sent"},
            }
        ],
    }
    assert http_log.calls == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"nope", "application/json"),
        (b'{"user_id": "anna"', "application/json"),
        (json.dumps(EVENT | {"content": " ", "options": {"channels": ["pigeon"]}}).encode(), "application/json"),
        (json.dumps(EVENT | {"optins": {}}).encode(), "application/json"),
        (json.dumps(EVENT | {"content": "x" * MAX_EVENT_BYTES}).encode(), "application/json"),
        (b"a=1", "application/x-www-form-urlencoded"),
    ],
)
def test_what_intake_refuses_is_refused_alike(http: FlaskClient, body: bytes, content_type: str) -> None:
    told, intake = (http.post(path, data=body, content_type=content_type) for path in (PATH, "/api/v1/notifications"))
    assert told.status_code in (400, 413, 415, 422)
    assert (told.status_code, told.json, told.content_type) == (intake.status_code, intake.json, intake.content_type)


@pytest.mark.usefixtures("anna")
def test_preferences_are_told_with_the_entry_that_decides(http: FlaskClient, http_services: Services) -> None:
    http_services.preferences.put("anna", Preferences(channels={"account": {"*": False}, "*": {"email": True}}))
    found = only(explained(http, options={"channels": ["email"]}))
    assert found["preferences"] == {"is_ignored": False, "is_wanted": False, "entry": ["account", "*"]}
    assert found["verdict"] == {"status": "suppressed", "reason": "preference_off"}


@pytest.mark.usefixtures("anna")
def test_quiet_hours_are_told_with_their_end(http_services: Services) -> None:
    noon_ms = 1_782_907_200_000  # 2026-07-01T12:00:00Z, 14:00 in Berlin
    http_services.preferences.put("anna", Preferences(quiet_hours=QuietHours(start="13:00", end="15:30")))
    explainer = dataclasses.replace(http_services.explainer(), now_ms=lambda: noon_ms)
    client = client_without(http_services, explainer=lambda: explainer)
    found = only(explained(client, options={"channels": ["webhook"], "ttl_s": 7200}))
    until = "2026-07-01T13:30:00.000Z"
    quiet = {"start": "13:00", "end": "15:30", "timezone": "Europe/Berlin", "until": until}
    assert found["preferences"]["quiet_hours"] == quiet
    assert found["verdict"] == {"status": "parked", "reason": "quiet_hours", "until": until}
    assert found["address"]["masked"] == "https://hooks.example/***"


@pytest.mark.usefixtures("anna")
def test_a_used_up_limit_is_told_with_its_next_slot(http_services: Services, redis_server: RedisServer) -> None:
    explainer = http_services.explainer()
    client = make_client(redis_server.url(), timeout_s=5.0)
    used = [
        UserCharge(delivery_id=f"d{number}", user_id="anna", channel="log", expires_at_ms=10**15, may_park=True)
        for number in range(600)
    ]
    RedisUserLimits(client, explainer.user_rates).charge(used, owner="o")
    client.close()
    found = only(explained(client_without(http_services), options={"channels": ["log"]}))
    [limit] = found["user_limits"]["limits"]
    assert limit["left"] == 0
    assert found["verdict"] == {"status": "parked", "reason": "rate_limited_user", "until": limit["next_at"]}


@pytest.mark.usefixtures("anna")
def test_what_earlier_channels_of_the_event_take_later_ones_do_not_find(http: FlaskClient) -> None:
    found = explained(http, options={"channels": ["log", "sms", "in_app"]})["deliveries"]
    lefts = [one["user_limits"]["limits"][0]["left"] for one in found]
    assert lefts == [600, 599, 599], "a channel that is not configured takes nothing"


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    ("channel", "key", "verdict"),
    [
        ("email", "smtp", {"status": "held", "reason": "breaker_open", "then": {"status": "sent"}}),
        ("webhook", "hooks.example:443", {"status": "parked", "reason": "breaker_open"}),
        ("webhook", "other.example:443", {"status": "sent"}),
    ],
)
def test_an_open_breaker_holds_a_lane_or_parks_what_goes_to_its_host(
    http: FlaskClient, redis_server: RedisServer, channel: str, key: str, verdict: dict[str, Any]
) -> None:
    until_ms = (time.time_ns() // 10**9 + 60) * MS
    client = make_client(redis_server.url(), timeout_s=5.0)
    client.set(f"breaker:{key}", f"{until_ms}:1")
    client.close()
    found = only(explained(http, options={"channels": [channel]}))
    until = found["verdict"].pop("until", None)
    assert found["verdict"] == verdict
    assert until == found["breaker"].get("open_until")
    assert (until is not None) == (found["breaker"]["state"] == "open")


def test_a_user_that_is_not_stored_has_the_defaults(http: FlaskClient) -> None:
    found = explained(http, user_id="nobody", event_type="never_heard_of")
    assert found["is_named"] is False
    assert found["user"] == {"is_known": False, "locale": "en", "timezone": "UTC"}
    assert found["channels"] == {"value": ["in_app"], "from": "catalogue"}
    assert only(found)["address"] == {"is_found": True, "from": "user_id", "masked": "n***"}
    email = only(explained(http, user_id="nobody", options={"channels": ["email"]}))
    assert email["address"] == {"is_found": False}
    assert email["verdict"] == {"status": "suppressed", "reason": Reason.NO_ADDRESS}


def test_a_refused_address_is_told_and_not_quoted(http: FlaskClient) -> None:
    to = {"webhook": "http://127.0.0.1/secret", "email": "secret"}
    found = explained(http, options={"channels": ["webhook", "email"], "to": to})["deliveries"]
    assert [one["address"]["problem"] for one in found] == [
        "forbidden_address: not a public address",
        "invalid_address: not an email address",
    ]
    assert [one["verdict"]["status"] for one in found] == ["failed", "failed"]


def test_redis_away_is_said_and_the_rest_is_told(http_services: Services) -> None:
    client = make_client(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.5)
    explainer = dataclasses.replace(http_services.explainer(), limits=RedisLimitBook(client))
    away = client_without(http_services, explainer=lambda: explainer)
    found = only(explained(away, options={"channels": ["log"]}))
    unknown = {"unknown": "Redis does not answer"}
    assert (found["user_limits"], found["lane_limits"], found["breaker"]) == (unknown, unknown, unknown)
    assert found["content"]["subject"] == "security_alert"
    assert found["verdict"] == {"status": "sent"}
    low = only(explained(away, options={"channels": ["log"], "priority": "low"}))
    assert low["verdict"] == {"status": "open", "reason": "claims_down"}


def test_a_channel_whose_settings_are_wrong_is_told_and_the_others_stand(http_services: Services) -> None:
    wrong = dataclasses.replace(http_services.settings, smtp_url="nonsense://")
    channels = ChannelRegistry(wrong, http_services.inbox, http_services.secret)
    explainer = dataclasses.replace(http_services.explainer(), channels=channels)
    client = client_without(http_services, explainer=lambda: explainer)
    email, inbox = explained(client, options={"channels": ["email", "in_app"]})["deliveries"]
    assert email["provider"] == {"is_configured": False, "unknown": "the channel's settings are wrong"}
    assert email["verdict"] == {"status": "open", "reason": "step_failed"}
    assert inbox["verdict"] == {"status": "sent"}


def test_an_event_that_yields_no_delivery_has_a_verdict_of_its_own(http_services: Services) -> None:
    explainer = http_services.explainer()
    gone = structs.replace(explainer.catalogue.default, channels=("carrier_pigeon",))
    explainer = dataclasses.replace(explainer, catalogue=structs.replace(explainer.catalogue, rules={}, default=gone))
    found = explained(client_without(http_services, explainer=lambda: explainer))
    assert found["deliveries"] == []
    assert found["verdict"] == {"status": "failed", "reason": "no_channels"}


@pytest.mark.usefixtures("anna")
def test_an_sms_is_told_with_its_segments(http: FlaskClient) -> None:
    found = only(explained(http, content="€" * 200, options={"channels": ["sms"]}))
    assert found["content"]["sms"]["encoding"] == "GSM-7"
    assert found["content"]["sms"]["units"] - found["content"]["sms"]["characters"] == 200
    assert found["content"]["sms"]["segments"] == 3
    assert "sms" not in only(explained(http, options={"channels": ["email"]}))["content"]
