"""The inbox over HTTP."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from app.domain.ports import InboxEntry
from app.http.services import Services

PATH = "/api/v1/users/user-001/inbox"


@pytest.fixture
def three(http_services: Services) -> None:
    http_services.inbox.add(
        [
            InboxEntry(
                id=f"d{number}",
                notification_id=f"n{number}",
                user_id="user-001",
                event_type="security_alert",
                category="account",
                subject="Subject",
                body="Body",
                created_at_ms=1_732_270_000_000 + number,
            )
            for number in range(3)
        ]
    )


@pytest.mark.usefixtures("three")
def test_entries_come_newest_first_with_what_is_unread(http: FlaskClient) -> None:
    first = http.get(PATH, query_string={"limit": 2}).json
    assert [entry["id"] for entry in first["items"]] == ["d2", "d1"]
    assert first["unread"] == 3
    assert first["items"][0] == {
        "id": "d2",
        "notification_id": "n2",
        "event_type": "security_alert",
        "category": "account",
        "subject": "Subject",
        "body": "Body",
        "created_at": "2024-11-22T10:06:40.002Z",
        "read_at": None,
    }
    second = http.get(PATH, query_string={"limit": 2, "cursor": first["next_cursor"]}).json
    assert [entry["id"] for entry in second["items"]] == ["d0"]
    assert second["next_cursor"] is None


@pytest.mark.usefixtures("three")
def test_one_entry_is_marked_read_once(http: FlaskClient) -> None:
    assert http.post(f"{PATH}/d1/read").json == {"marked": 1, "unread": 2}
    assert http.post(f"{PATH}/d1/read").json == {"marked": 0, "unread": 2}
    unread = http.get(PATH, query_string={"unread": "true"}).json
    assert [entry["id"] for entry in unread["items"]] == ["d2", "d0"]
    shown = {entry["id"]: entry["read_at"] for entry in http.get(PATH).json["items"]}
    assert shown["d1"].endswith("Z")
    assert shown["d0"] is None


@pytest.mark.usefixtures("three")
def test_all_are_marked_read_and_nobody_elses(http: FlaskClient) -> None:
    assert http.post("/api/v1/users/another/inbox/d1/read").json == {"marked": 0, "unread": 0}
    assert http.post(f"{PATH}/read").json == {"marked": 3, "unread": 0}


@pytest.mark.parametrize("query", ["unread=yes", "limit=0", "cursor=zzz", "size=1"])
def test_a_wrong_parameter_is_named(http: FlaskClient, query: str) -> None:
    answer = http.get(f"{PATH}?{query}")
    assert answer.status_code == 422
    assert json.loads(answer.data)["errors"][0]["parameter"] == query.partition("=")[0]
