"""The command `suppressions`, run in this process on real stores."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from app.commands.suppressions import suppressions
from app.domain.suppression import Destination, SuppressionReason
from app.settings import Settings, settings
from infrastructure import wiring

ANNA, NUMBER = "anna@example.com", "+442071838750"


@pytest.fixture(autouse=True)
def _state(service: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable, value in service.as_environ().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("NOTIFY_SMS_REGION", "GB")
    settings.cache_clear()
    yield
    settings.cache_clear()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(suppressions, arguments, catch_exceptions=False)


def listed(*arguments: str) -> list[tuple[str, str, str]]:
    found = json.loads(run("list", "--json", *arguments).stdout)
    return [(one["address"], one["channel"], one["reason"]) for one in found]


def test_what_is_added_is_listed_shown_and_removed() -> None:
    assert run("add", ANNA).stdout == "a***@example.com is suppressed\n"
    assert run("add", "Anna@Example.com").stdout == "A***@example.com was suppressed\n"
    assert run("add", "020 7183 8750").stdout == "***50 is suppressed\n"
    assert sorted(listed()) == [("***50", "sms", "operator"), ("a***@example.com", "email", "operator")]
    assert run("show", NUMBER).stdout == "operator\n"
    assert run("remove", NUMBER).stdout == "***50 is not suppressed any more\n"
    assert listed() == [("a***@example.com", "email", "operator")]


def test_what_is_not_suppressed_is_told_by_the_exit_code() -> None:
    for command in ("show", "remove"):
        result = run(command, ANNA)
        assert result.exit_code == 1
        assert "Error: no suppression of a***@example.com" in result.output
        assert ANNA not in result.output


def test_removing_lifts_every_reason() -> None:
    store = wiring.suppressions(settings())
    for at_ms, reason in enumerate((SuppressionReason.STOP, SuppressionReason.HARD_BOUNCE), 1):
        store.suppress(Destination("sms", NUMBER), reason, since_ms=at_ms, shown="***50")
    assert [reason for *_, reason in listed()] == ["hard_bounce", "stop"]
    assert [reason for *_, reason in listed("--reason", "stop", "--limit", "5")] == ["stop"]
    assert run("show", NUMBER).stdout == "stop\n"
    run("remove", NUMBER)
    assert listed() == []


@pytest.mark.parametrize("address", ["nobody", "a@b@c", "@", "12", ""])
def test_what_is_no_address_is_refused_and_not_quoted(address: str) -> None:
    result = run("add", address)
    assert result.exit_code == 2
    assert "neither an email address nor a phone number" in result.output


def test_a_table_for_people() -> None:
    run("add", ANNA)
    shown = run("list").stdout
    assert "a***@example.com" in shown
    assert "operator" in shown
