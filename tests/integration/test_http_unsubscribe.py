"""/unsubscribe/{token}: one POST turns a category off; nothing else does."""

from __future__ import annotations

import dataclasses

import pytest
from flask.testing import FlaskClient

from app.domain.preference_rules import is_wanted
from app.domain.unsubscribe import UnsubscribeLinks
from app.domain.users import Preferences, QuietHours
from app.http.app import create_app
from app.http.services import Services
from tests.support.http_services import SECRET

ROOT = "https://notify.example.com"
ONE_CLICK = {"data": "List-Unsubscribe=One-Click", "content_type": "application/x-www-form-urlencoded"}


def path(user_id: str = "user-001", category: str = "marketing", secret: bytes = SECRET) -> str:
    return UnsubscribeLinks(secret, ROOT).link(user_id, category).removeprefix(ROOT)


def test_one_post_turns_the_category_off_and_leaves_the_rest(http: FlaskClient, http_services: Services) -> None:
    before = Preferences(
        channels={"marketing": {"email": True, "in_app": True}, "social": {"email": True}, "*": {"sms": False}},
        muted_until_ms=5_000,
        quiet_hours=QuietHours(start="22:00", end="07:00"),
    )
    http_services.preferences.put("user-001", before)
    http_services.preferences.put("user-002", before)
    answer = http.post(path(), **ONE_CLICK)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    after = http_services.preferences.get("user-001")
    assert after.channels == before.channels | {"marketing": {"*": False}}
    assert (after.muted_until_ms, after.quiet_hours) == (before.muted_until_ms, before.quiet_hours)
    assert not any(is_wanted(after, "marketing", channel) for channel in ("email", "in_app", "webhook"))
    assert http_services.preferences.get("user-002") == before


def test_who_has_no_preferences_has_them_then_and_again_is_the_same(http: FlaskClient, http_services: Services) -> None:
    for _ in range(2):
        assert http.post(path("user-009"), **ONE_CLICK).status_code == 200
        assert http_services.preferences.get("user-009") == Preferences(channels={"marketing": {"*": False}})


@pytest.mark.parametrize(
    "options",
    [{}, {"data": {"List-Unsubscribe": "One-Click"}, "content_type": "multipart/form-data"}],
    ids=["no body", "multipart"],
)
def test_bodies_of_all_mail_programs_are_taken(http: FlaskClient, options: dict[str, object]) -> None:
    assert http.post(path(), **options).status_code == 200


def test_to_look_at_it_changes_nothing(http: FlaskClient, http_services: Services) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert http.open(path(), method=method).status_code == 200
    for method in ("PUT", "DELETE", "PATCH"):
        assert http.open(path(), method=method).status_code == 405
    assert http_services.preferences.get("user-001") == Preferences()


def test_the_page_has_a_form_and_nothing_of_elsewhere(http: FlaskClient) -> None:
    answer = http.get(path(category="<b>&"))
    assert '<form method="post">' in answer.text
    assert "&lt;b&gt;&amp;" in answer.text
    assert "<b>" not in answer.text
    assert "user-001" not in answer.text
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_forged_or_altered_is_not_there(http: FlaskClient, http_services: Services, method: str) -> None:
    good, other = path(), path("user-002")
    forged = [
        path(secret=b"another secret"),
        good[:-1],
        good + "A",
        good[:-3] + other[-3:],
        good.replace("/unsubscribe/", "/unsubscribe/A", 1),
        "/unsubscribe/x",
        "/unsubscribe/%00",
        "/unsubscribe/%C3%BC",
    ]
    for one in forged:
        if one not in (good, other):
            assert http.open(one, method=method).status_code == 404
    for user_id in ("user-001", "user-002"):
        assert http_services.preferences.get(user_id) == Preferences()


def test_it_asks_for_no_key(http_services: Services) -> None:
    asking = dataclasses.replace(http_services, settings=dataclasses.replace(http_services.settings, http_auth="keys"))
    client = create_app(asking).test_client()
    assert client.put("/api/v1/users/user-001/preferences", json={}).status_code == 401
    assert client.post(path(), **ONE_CLICK).status_code == 200
