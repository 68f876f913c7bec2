"""The command `explain`, run in this process over real stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.commands.explain import explain
from app.domain.clock import now_ms
from app.domain.ports import SwitchedOff
from app.domain.users import Contacts, Preferences, User
from app.settings import settings
from infrastructure import wiring
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

ADDRESS = "anna.smith@example.com"
EVENT = {"user_id": "anna", "event_type": "order_shipped", "content": "It is on its way"}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NOTIFY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("NOTIFY_REDIS_URL", redis_server.url(1))
    settings.cache_clear()
    wiring.migrate_stores(settings())
    wiring.users(settings()).put(User(id="anna", contacts=Contacts(email=ADDRESS)))
    yield
    wiring.close()
    settings.cache_clear()


def run(*arguments: str, text: str = "") -> Result:
    result = CliRunner().invoke(explain, arguments, input=text, catch_exceptions=False)
    assert ADDRESS not in result.output
    return result


def test_one_event_is_told_in_words() -> None:
    wiring.preferences(settings()).put("anna", Preferences(channels={"orders": {"*": False}}))
    result = run("-", text=json.dumps(EVENT | {"options": {"channels": ["email"], "priority": "high"}}, indent=2))
    assert result.exit_code == 0
    event, _, delivery = result.stdout.partition("Delivery high.email\n")
    assert "  priority     high (options)\n  channels     email (options)\n" in event
    assert "  user         anna, locale en, time zone UTC\n" in event
    assert delivery.splitlines()[1:-2] == [
        "  verdict      suppressed: preference_off",
        "  provider     smtp",
        "  address      a***@example.com (user)",
        "  preferences  off (orders x *), not muted, no quiet hours",
        "  user limits  user 600/3600s:600: 600 left",
        "  lane limits  none set",
        "  breaker      closed",
        "  subject      Your order is on its way",
        "  text         It is on its way",
        "",
        "               Tracking: follows",
    ]


def test_a_disabled_provider_is_told_and_holds_the_lane() -> None:
    off = SwitchedOff(at_ms=now_ms(), until_ms=now_ms() + 3_600_000)
    wiring.provider_switches(settings()).disable("smtp", off)
    text = json.dumps(EVENT | {"options": {"channels": ["email"]}})
    shown = run("-", text=text).stdout
    assert "  provider     smtp (disabled: smtp)\n" in shown
    assert "  verdict      held: provider_disabled until 20" in shown
    assert ", then sent\n" in shown
    [found] = json.loads(run("-", "--json", text=text).stdout)["deliveries"]
    assert found["provider"] == {"is_configured": True, "name": "smtp", "disabled": ["smtp"]}
    assert found["verdict"]["status"] == "held"


@pytest.mark.parametrize(
    ("content", "told", "sms"),
    [
        ("ok", "GSM-7, 21 characters, 1 segment", ("GSM-7", 21, 21, 1)),
        ("Price: 5 €", "GSM-7, 29 characters (30 septets), 1 segment", ("GSM-7", 29, 30, 1)),
        (
            "don\N{RIGHT SINGLE QUOTATION MARK}t \N{GRINNING FACE}" + "a" * 50,
            "UCS-2, 76 characters (77 UTF-16 units), 2 segments",
            ("UCS-2", 76, 77, 2),
        ),
    ],
)
def test_an_sms_is_told_with_what_it_is_sent_as(content: str, told: str, sms: tuple[str, int, int, int]) -> None:
    """The template adds 19 characters."""
    text = json.dumps(EVENT | {"content": content, "options": {"channels": ["sms"]}})
    assert f"  sms          {told}\n" in run("-", text=text).stdout
    [found] = json.loads(run("-", "--json", text=text).stdout)["deliveries"]
    assert found["content"]["sms"] == dict(zip(("encoding", "characters", "units", "segments"), sms, strict=True))


def test_what_is_no_sms_has_no_segments() -> None:
    found = json.loads(run("-", "--json", text=json.dumps(EVENT)).stdout)["deliveries"]
    assert not [one for one in found if "sms" in one["content"]]


def test_as_json_it_is_the_document_of_the_http_service() -> None:
    found: Any = json.loads(run("-", "--json", text=json.dumps(EVENT)).stdout)
    assert [one["lane"] for one in found["deliveries"]] == ["medium.email", "medium.push", "medium.in_app"]
    assert [one["verdict"]["status"] for one in found["deliveries"]] == ["sent", "suppressed", "sent"]
    assert "It is on its way" in found["deliveries"][0]["content"]["html"]


def test_every_line_is_an_event_and_an_invalid_one_is_told_by_place_with_exit_code_1(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    events = [EVENT, EVENT | {"content": "", "options": {"channels": ["pigeon"]}}, EVENT | {"user_id": "ben"}]
    file.write_text("\n".join(json.dumps(event) for event in events) + "\n\n")
    result = run(str(file), "--json")
    assert result.exit_code == 1
    first, second, third = map(json.loads, result.stdout.splitlines())
    assert (first["user_id"], third["user_id"]) == ("anna", "ben")
    assert (second["status"], [one["pointer"] for one in second["errors"]]) == (
        422,
        ["/content", "/options/channels/0"],
    )
    in_words = run(str(file))
    assert in_words.exit_code == 1
    assert "  /options/channels/0 is not one of email, " in in_words.stdout
    assert in_words.stdout.count("Delivery medium.email") == 2


@pytest.mark.parametrize("text", ['{"user_id": "anna",', '{\n"user_id": "anna",\n}', "[]", "\xff"])
def test_what_is_no_event_is_exit_code_1(text: str) -> None:
    result = run("-", text=text)
    assert (result.exit_code, result.stdout.count("Invalid event")) == (1, 1)


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_is_wrong_usage(text: str) -> None:
    assert run("-", text=text).exit_code == 2


def test_a_file_that_is_not_there_is_wrong_usage() -> None:
    assert run("nowhere.json").exit_code == 2


def test_what_the_client_wrote_does_not_steer_the_terminal() -> None:
    result = run("-", text=json.dumps(EVENT | {"content": "a\x1b[31mb\rc"}))
    assert "\x1b" not in result.stdout
    assert "a\\x1b[31mb" in result.stdout


def test_absent_stores_are_named_and_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_DATABASE_URL", f"sqlite:///{tmp_path / 'nowhere' / 'notify.db'}")
    monkeypatch.setenv("NOTIFY_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.cache_clear()
    result = run("-", text=json.dumps(EVENT))
    assert result.exit_code == 0
    assert "unknown: SQL does not answer" in result.stdout
    assert "unknown: Redis does not answer" in result.stdout
    assert "open: claims_down" in result.stdout
    assert "It is on its way" in result.stdout
