"""Users and their preferences over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.users import Preferences, QuietHours
from app.http.services import Services
from infrastructure.redis.client import make_client
from infrastructure.redis.known_users import RedisKnownUsers
from infrastructure.sql.preferences import SqlPreferences
from infrastructure.sql.users import SqlUsers
from tests.support.http_services import client_without
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

USER = "/api/v1/users/user-001"
PREFERENCES = f"{USER}/preferences"


def pointers(answer: Any) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [error["pointer"] for error in json.loads(answer.data)["errors"]]


def test_a_user_is_stored_whole_and_shown(http: FlaskClient) -> None:
    user = {
        "contacts": {"email": "a@example.com", "phone": "+4930123456"},
        "locale": "de-DE",
        "timezone": "Europe/Berlin",
    }
    assert http.put(USER, json=user).status_code == 201
    assert http.get(USER).json == {"id": "user-001"} | user
    assert http.put(USER, json=http.get(USER).json | {"contacts": {}}).status_code == 200
    assert http.get(USER).json["contacts"] == {}


def test_an_unknown_user_is_404(http: FlaskClient) -> None:
    assert http.get("/api/v1/users/nobody").status_code == 404


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"name": "x"}, ["/name"]),
        ({"contacts": {"fax": "1"}}, ["/contacts/fax"]),
        ({"contacts": {"email": 1}}, ["/contacts/email"]),
        (
            {"contacts": {"email": "a@b.c\r\nBcc: x@y.z", "webhook": "ftp://x"}, "timezone": "Mars/Base"},
            ["/contacts/email", "/contacts/webhook", "/timezone"],
        ),
        ({"id": "user-002"}, ["/id"]),
    ],
)
def test_what_is_wrong_with_a_user_is_pointed_at(http: FlaskClient, body: dict[str, Any], where: list[str]) -> None:
    assert pointers(http.put(USER, json=body)) == where
    assert http.get(USER).status_code == 404


@pytest.mark.parametrize("name", ["x" * 129, "a%0Ab"])
def test_an_id_that_no_event_could_carry_is_refused(http: FlaskClient, name: str) -> None:
    answer = http.put(f"/api/v1/users/{name}", json={})
    assert answer.status_code == 422
    assert json.loads(answer.data)["errors"][0]["parameter"] == "user_id"
    assert http.put(f"/api/v1/users/{name}/preferences", json={}).status_code == 422


def test_preferences_have_defaults_and_are_replaced_whole(http: FlaskClient, http_services: Services) -> None:
    assert http.get(PREFERENCES).json == {"channels": {}, "muted_until": None, "quiet_hours": None}
    wanted = {
        "channels": {"marketing": {"email": False, "*": True}, "*": {"sms": False}},
        "muted_until": "2030-01-02T03:04:05.678Z",
        "quiet_hours": {"start": "22:00", "end": "07:00"},
    }
    assert http.put(PREFERENCES, json=wanted).status_code == 200
    assert http.get(PREFERENCES).json == wanted
    assert http_services.preferences.get("user-001") == Preferences(
        channels=wanted["channels"],
        muted_until_ms=1_893_553_445_678,
        quiet_hours=QuietHours(start="22:00", end="07:00"),
    )
    assert http.put(PREFERENCES, json={}).json == {"channels": {}, "muted_until": None, "quiet_hours": None}


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_cannot_be_shown_is_not_stored(http: FlaskClient, until: str) -> None:
    answer = http.put(PREFERENCES, json={"muted_until": until})
    assert answer.status_code == 422
    assert answer.json["errors"] == [{"detail": "is after 9999-12-31", "pointer": "/muted_until"}]
    assert http.get(PREFERENCES).json["muted_until"] is None
    assert http.put(PREFERENCES, json={"muted_until": "9999-12-31T00:00:00Z"}).status_code == 200
    assert http.get(PREFERENCES).json["muted_until"] == "9999-12-31T00:00:00.000Z"


def test_a_change_is_known_without_sql_before_it_is_answered(
    stores_known: RedisKnownUsers, known_http: FlaskClient
) -> None:
    wanted = {"channels": {"*": {"email": False}}}
    assert known_http.put(USER, json={"contacts": {"email": "a@example.com"}}).status_code == 201
    assert known_http.put(PREFERENCES, json=wanted).status_code == 200
    found = stores_known.find(["user-001"])["user-001"]
    assert found.recipient is not None
    assert found.recipient.contacts.email == "a@example.com"
    assert found.preferences is not None
    assert found.preferences.preferences.channels == wanted["channels"]


@pytest.mark.parametrize(
    ("path", "body"),
    [(USER, {"contacts": {"email": "a@example.com"}}), (PREFERENCES, {"channels": {"a": {"*": False}}})],
)
def test_a_change_that_cannot_be_told_is_stored_and_to_be_repeated(
    http_services: Services, path: str, body: dict[str, Any]
) -> None:
    away = RedisKnownUsers(make_client(f"redis://127.0.0.1:{free_port()}/0", 0.5), ttl_s=60)
    answer = client_over(http_services, away).put(path, json=body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "is stored" in answer.json["detail"]
    assert "safe" in answer.json["detail"]
    shown = client_over(http_services, away).get(path)
    assert shown.status_code == 200
    assert body.items() <= shown.json.items()


@pytest.fixture
def stores_known(redis_server: RedisServer) -> Iterator[RedisKnownUsers]:
    client = make_client(redis_server.url(), 2.0)
    yield RedisKnownUsers(client, ttl_s=60)
    client.close()


@pytest.fixture
def known_http(http_services: Services, stores_known: RedisKnownUsers) -> FlaskClient:
    return client_over(http_services, stores_known)


def client_over(services: Services, known: RedisKnownUsers) -> FlaskClient:
    """The service, telling these copies of each change."""
    assert isinstance(services.users, SqlUsers)
    engine = services.users._engine
    return client_without(services, users=SqlUsers(engine, known), preferences=SqlPreferences(engine, known))


def test_a_time_with_an_offset_is_the_same_moment(http: FlaskClient) -> None:
    answer = http.put(PREFERENCES, json={"muted_until": "2030-01-02T05:04:05+02:00"})
    assert answer.json["muted_until"] == "2030-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"x": 1}, ["/x"]),
        ({"channels": {"marketing": {"email": "no"}}}, ["/channels"]),
        (
            {"channels": {"marketing": {"emial": False, "fax": True}}},
            ["/channels/marketing/emial", "/channels/marketing/fax"],
        ),
        ({"channels": {"a\n": {}}}, ["/channels/a\n"]),
        ({"muted_until": "tomorrow"}, ["/muted_until"]),
        ({"muted_until": "2030-01-02T03:04:05"}, ["/muted_until"]),
        ({"quiet_hours": {"start": "22:00"}}, ["/quiet_hours/end"]),
        ({"quiet_hours": {"start": "24:00", "end": "07:00"}}, ["/quiet_hours/start"]),
        ({"quiet_hours": {"start": "22:00\n", "end": "07:00"}}, ["/quiet_hours/start"]),
        ({"quiet_hours": {"start": "22:00", "end": "22:00"}}, ["/quiet_hours/end"]),
    ],
)
def test_what_is_wrong_with_preferences_is_pointed_at(
    http: FlaskClient, body: dict[str, Any], where: list[str]
) -> None:
    assert pointers(http.put(PREFERENCES, json=body)) == where
