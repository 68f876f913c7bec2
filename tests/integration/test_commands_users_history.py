"""The commands `users`, `history` and `show`, run in this process over real databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from app.commands.history import history, show
from app.commands.users import users
from app.domain.clock import now_ms
from app.domain.device import Device
from app.domain.errors import HalfStoredError
from app.domain.event import Event, Options
from app.domain.outcome import Outcome, Reason, Status
from app.settings import settings
from infrastructure import wiring
from infrastructure.sealing import Sealing
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer) -> Iterator[None]:
    monkeypatch.setenv("NOTIFY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("NOTIFY_REDIS_URL", redis_server.url())
    settings.cache_clear()
    wiring.migrate_stores(settings())
    yield
    settings.cache_clear()


def run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def as_json(command: click.Command, *arguments: str) -> Any:
    result = run(command, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def outcome(status: Status, **fields: Any) -> Outcome:
    event = Event(
        user_id="anna",
        event_type="order_shipped",
        content="[red]on its way[/red]",
        options=Options(channels=("email",)),
    )
    given: dict[str, Any] = {
        "notification_id": "n-1",
        "delivery_id": "d-1",
        "user_id": "anna",
        "event_type": "order_shipped",
        "channel": "email",
        "status": status,
        "at_ms": 1_700_000_000_500,
        "accepted_at_ms": 1_700_000_000_000,
        "event": event,
    }
    return Outcome(**(given | fields))


def test_a_user_is_added_changed_shown_and_deleted() -> None:
    run(users, "set", "anna", "--email", "anna@example.com", "--phone", "+4930123456")
    assert as_json(users, "set", "anna", "--phone", "", "--timezone", "Europe/Berlin") == {
        "id": "anna",
        "email": "anna@example.com",
        "phone": None,
        "webhook": None,
        "push": None,
        "chat": None,
        "locale": "en",
        "timezone": "Europe/Berlin",
    }
    assert "anna@example.com" in run(users, "show", "anna").output
    assert [user["id"] for user in as_json(users, "list")] == ["anna"]
    assert "Europe/Berlin" in run(users, "list").output
    assert run(users, "delete", "anna").exit_code == 0
    assert as_json(users, "list") == []


def test_a_chat_is_stored_sealed_and_shown_by_its_service_alone() -> None:
    assert as_json(users, "set", "anna", "--chat", "slack://T0123/B0123/secret")["chat"] == "slack://***"
    stored = wiring.users(settings()).get("anna")
    assert stored is not None
    assert str(stored.contacts.chat).startswith("sealed:slack:")
    assert Sealing(wiring.secret(settings())).open(str(stored.contacts.chat)) == "slack://T0123/B0123/secret"
    for shown in (run(users, "show", "anna"), run(users, "list")):
        assert "secret" not in shown.output
    assert as_json(users, "set", "anna", "--locale", "de")["chat"] == "slack://***", "it is not sealed twice"
    assert wiring.users(settings()).get("anna").contacts.chat == stored.contacts.chat  # type: ignore[union-attr]  # it is there
    assert "/contacts/chat" in run(users, "set", "anna", "--chat", "nonsense").output


def test_devices_are_listed_without_their_tokens() -> None:
    device = Device(id="d1", user_id="anna", platform="fcm", token="a-whole-token", app="Shop", registered_at_ms=5)
    wiring.devices(settings()).register(device, 9)
    [shown] = as_json(users, "devices", "anna")
    assert (shown["id"], shown["platform"], shown["token"], shown["app"]) == ("d1", "fcm", "a***", "Shop")
    assert "a-whole-token" not in run(users, "devices", "anna").output
    assert as_json(users, "devices", "ben") == []


def test_what_is_changed_is_known_without_sql_too() -> None:
    assert run(users, "set", "anna", "--email", "anna@example.com").exit_code == 0
    assert run(users, "prefs", "set", "anna", "*", "email", "off").exit_code == 0
    known = wiring.known_users(settings()).find(["anna"])["anna"]
    assert known.recipient is not None
    assert known.recipient.contacts.email == "anna@example.com"
    assert known.preferences is not None
    assert known.preferences.preferences.channels == {"*": {"email": False}}
    assert run(users, "delete", "anna").exit_code == 0
    gone = wiring.known_users(settings()).find(["anna"])["anna"]
    assert (gone.recipient, gone.preferences) == (None, None)
    assert gone.forgotten_at_ms > 0


def test_a_change_that_others_cannot_be_told_is_stored_and_to_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.cache_clear()
    with pytest.raises(HalfStoredError, match="repeat"):
        run(users, "set", "anna", "--email", "anna@example.com")
    assert as_json(users, "show", "anna")["email"] == "anna@example.com"


def test_a_wrong_contact_is_refused_by_name_and_not_stored() -> None:
    result = run(users, "set", "anna", "--email", "nonsense", "--timezone", "Mars")
    assert result.exit_code == 1
    assert "/contacts/email" in result.stderr
    assert "/timezone" in result.stderr
    assert run(users, "show", "anna").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nobody"),
        ("delete", "nobody"),
        ("prefs", "show", "nobody"),
        ("prefs", "set", "nobody", "*", "*", "off"),
        ("prefs", "mute", "nobody", "--off"),
        ("prefs", "quiet", "nobody", "--off"),
    ],
)
def test_an_unknown_user_is_told_with_exit_code_1(arguments: tuple[str, ...]) -> None:
    result = run(users, *arguments)
    assert (result.exit_code, result.stderr) == (1, "Error: no user nobody\n")


def test_preferences_are_set_one_by_one_and_reset() -> None:
    run(users, "set", "anna")
    run(users, "prefs", "set", "anna", "marketing", "*", "off")
    run(users, "prefs", "set", "anna", "marketing", "email", "on")
    run(users, "prefs", "quiet", "anna", "22:00", "07:00")
    assert as_json(users, "prefs", "mute", "anna", "--hours", "2")["muted_until_ms"] > 0
    assert as_json(users, "prefs", "mute", "anna", "--off") == {
        "channels": {"marketing": {"*": False, "email": True}},
        "muted_until_ms": 0,
        "quiet_hours": {"start": "22:00", "end": "07:00"},
    }
    assert "22:00 to 07:00" in run(users, "prefs", "show", "anna").output
    run(users, "prefs", "set", "anna", "marketing", "*", "default")
    run(users, "prefs", "set", "anna", "marketing", "email", "default")
    assert as_json(users, "prefs", "quiet", "anna", "--off") == {
        "channels": {},
        "muted_until_ms": 0,
        "quiet_hours": None,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("prefs", "quiet", "anna", "22:00"),
        ("prefs", "quiet", "anna", "22:00", "25:00"),
        ("prefs", "quiet", "anna"),
        ("prefs", "mute", "anna"),
        ("prefs", "mute", "anna", "--hours", "1", "--off"),
        ("prefs", "mute", "anna", "--hours", "0"),
        ("prefs", "set", "anna", "marketing", "pigeon", "off"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_changes_nothing(arguments: tuple[str, ...]) -> None:
    run(users, "set", "anna")
    assert run(users, *arguments).exit_code == 2
    assert as_json(users, "prefs", "show", "anna")["channels"] == {}


def test_one_notification_is_shown_with_every_outcome() -> None:
    wiring.history(settings()).append(
        [
            outcome(Status.PARKED, reason=Reason.PROVIDER_TRANSIENT, detail="451 \x1b[31mlater", attempt=1),
            outcome(Status.SENT, pass_no=1, attempt=2, provider="smtp", at_ms=1_700_000_002_000),
        ]
    )
    text = run(show, "n-1").output
    assert "2023-11-14T22:13:20.500Z" in text
    assert "provider_transient" in text
    assert "451 \\x1b[31mlater" in text
    found = as_json(show, "n-1")
    assert (found["status"], found["event"]["content"]) == ("sent", "[red]on its way[/red]")
    [delivery] = found["deliveries"]
    assert [step["status"] for step in delivery["outcomes"]] == ["parked", "sent"]


def test_a_channel_nothing_was_heard_of_is_shown_as_accepted() -> None:
    event = Event(user_id="anna", event_type="t", content="c", options=Options(channels=("email", "sms")))
    wiring.history(settings()).append([outcome(Status.SENT, event=event, accepted_at_ms=now_ms())])
    assert "sms accepted" in run(history, "anna").output


def test_a_users_notifications_are_listed_newest_first_page_by_page() -> None:
    wiring.history(settings()).append(
        [outcome(Status.SENT, notification_id=f"n-{number}", accepted_at_ms=number) for number in (1, 2, 3)]
    )
    first = as_json(history, "anna", "--limit", "2")
    assert [item["id"] for item in first["items"]] == ["n-3", "n-2"]
    second = as_json(history, "anna", "--limit", "2", "--cursor", first["next_cursor"])
    assert ([item["id"] for item in second["items"]], second["next_cursor"]) == (["n-1"], None)
    text = run(history, "anna", "--limit", "2").output
    assert "email sent" in text
    assert first["next_cursor"] in text


def test_what_the_history_does_not_have_is_told_with_exit_code_1() -> None:
    assert run(show, "n-1").exit_code == 1
    assert "no notifications of user anna" in run(history, "anna").stderr


def test_a_strange_cursor_is_wrong_usage() -> None:
    assert run(history, "anna", "--cursor", "strange").exit_code == 2
