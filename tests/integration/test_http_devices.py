"""Devices over HTTP."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain.device_rules import normal_token
from app.http.services import Services
from tests.support.http_services import client_without

DEVICES = "/api/v1/users/user-001/devices"
TOKEN = "eXampLe:APA91b-token_of-a-phone"
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"


def subscription(endpoint: str = "https://push.example/x", auth: str = "BTBZMqHH6r4Tts7J_aSIgg") -> str:
    """As a browser gives it."""
    return json.dumps({"endpoint": endpoint, "keys": {"p256dh": P256DH, "auth": auth}})


PHONE = {"platform": "fcm", "token": TOKEN, "app": "Shop", "locale": "de-DE"}


def test_a_device_is_registered_and_shown_without_its_token(http: FlaskClient, http_services: Services) -> None:
    made = http.post(DEVICES, json=PHONE)
    assert made.status_code == 201
    shown = http.get(DEVICES).json
    assert shown == {"items": [made.json]}
    assert {name: made.json[name] for name in ("platform", "token", "app", "locale")} == PHONE | {"token": "e***"}
    assert TOKEN not in made.text
    [stored] = http_services.devices.of_user("user-001")
    assert (stored.id, stored.token) == (made.json["id"], TOKEN)


def test_registering_again_is_200_and_keeps_the_id(http: FlaskClient) -> None:
    first = http.post(DEVICES, json=PHONE)
    again = http.post(DEVICES, json=PHONE | {"app": "Shop 2"})
    assert (again.status_code, again.json["id"], again.json["app"]) == (200, first.json["id"], "Shop 2")


def test_a_token_that_another_registers_moves(http: FlaskClient) -> None:
    http.post(DEVICES, json=PHONE)
    assert http.post("/api/v1/users/user-002/devices", json=PHONE).status_code == 201
    assert http.get(DEVICES).json == {"items": []}


def test_a_device_is_removed_once(http: FlaskClient) -> None:
    made = http.post(DEVICES, json=PHONE).json["id"]
    answers = [http.delete(f"{DEVICES}/{made}").json for _ in range(2)]
    assert answers == [{"removed": 1}, {"removed": 0}]


def test_a_user_has_as_many_as_the_setting_says(http_services: Services) -> None:
    settings = dataclasses.replace(http_services.settings, devices_max=2)
    http = client_without(http_services, settings=settings)
    made = [http.post(DEVICES, json=PHONE | {"token": f"t{number}"}).json["id"] for number in range(4)]
    assert sorted(one["id"] for one in http.get(DEVICES).json["items"]) == sorted(made[2:])


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"platform": "fcm"}, ["/token"]),
        ({"platform": "pager", "token": "t"}, ["/platform"]),
        (PHONE | {"name": "x"}, ["/name"]),
        (PHONE | {"token": ""}, ["/token"]),
        (PHONE | {"locale": ""}, ["/locale"]),
        (PHONE | {"token": "x" * 4097}, ["/token"]),
        (PHONE | {"token": "with a blank"}, ["/token"]),
        (PHONE | {"platform": "apns"}, ["/token"]),
        (PHONE | {"platform": "apns", "token": "abc" * 11}, ["/token"]),
        (PHONE | {"platform": "webpush"}, ["/token"]),
        (PHONE | {"platform": "webpush", "token": subscription("http://push.example/blank")}, ["/token"]),
        (PHONE | {"platform": "webpush", "token": subscription(auth="blank")}, ["/token"]),
        (PHONE | {"token": "a\nb", "app": "x" * 65, "locale": "no language"}, ["/token", "/app", "/locale"]),
    ],
)
def test_what_is_wrong_is_pointed_at_and_not_quoted(http: FlaskClient, body: dict[str, Any], where: list[str]) -> None:
    answer = http.post(DEVICES, json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in json.loads(answer.data)["errors"]] == where
    assert "blank" not in answer.text
    assert http.get(DEVICES).json == {"items": []}


@pytest.mark.parametrize(
    ("platform", "token"),
    [
        ("apns", "0F" * 32),
        ("apns", "0f" * 100),
        ("webpush", subscription()),
    ],
)
def test_each_platforms_tokens_are_taken(http: FlaskClient, platform: str, token: str) -> None:
    assert http.post(DEVICES, json={"platform": platform, "token": token}).status_code == 201


@pytest.mark.parametrize(
    ("platform", "first", "second"),
    [
        ("apns", "0F" * 32, "0f" * 32),
        ("webpush", subscription(), json.dumps(json.loads(subscription()) | {"expirationTime": None}, indent=0)),
    ],
)
def test_one_device_in_two_forms_is_one(
    http: FlaskClient, http_services: Services, platform: str, first: str, second: str
) -> None:
    made = http.post(DEVICES, json={"platform": platform, "token": first})
    again = http.post(DEVICES, json={"platform": platform, "token": second.replace("\n", " ")})
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json["id"] == again.json["id"]
    [stored] = http_services.devices.of_user("user-001")
    assert stored.token == normal_token(platform, first)


def test_of_a_subscription_nothing_is_shown_that_could_be_sent_to(http: FlaskClient) -> None:
    made = http.post(DEVICES, json={"platform": "webpush", "token": subscription()})
    assert made.json["token"] == "https://push.example/***"
    assert P256DH not in made.text
