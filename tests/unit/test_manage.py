"""The command line: what it lists, how it fails, and how little it loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import manage
from app.domain.errors import ConfigError, StoreUnavailableError

ROOT = Path(__file__).parents[2]
LISTED = [
    "up",
    "api",
    "bridge",
    "worker",
    "flower",
    "mailbox",
    "migrate",
    "topics",
    "ready",
    "config",
    "users",
    "keys",
    "show",
    "history",
    "stats",
    "providers",
    "suppressions",
    "push",
    "queues",
    "send",
    "explain",
    "parked",
    "dead",
    "replay",
]
HEAVY = ("celery", "flask", "sqlalchemy", "confluent_kafka", "granian", "rich")


def test_every_command_is_listed_with_a_text() -> None:
    result = CliRunner().invoke(manage.manage, ["--help"])
    assert result.exit_code == 0
    listed = {words[0]: words[1:] for line in result.output.splitlines() if (words := line.split())}
    for name in LISTED:
        assert listed[name], name
    assert "broker" not in listed


@pytest.mark.parametrize("name", manage.COMMANDS)
def test_every_command_loads_and_has_a_help(name: str) -> None:
    result = CliRunner().invoke(manage.manage, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"Usage: manage {name}" in result.output


def test_an_unknown_command_gets_the_near_names() -> None:
    result = CliRunner().invoke(manage.manage, ["wroker"])
    assert result.exit_code == 2
    assert "No such command 'wroker'. Did you mean 'worker'?" in result.output


def test_the_list_of_commands_loads_none() -> None:
    code = f"import sys, manage; print([name for name in {HEAVY!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("NOTIFY_X is not a setting"), 2), (StoreUnavailableError("SQL: cannot be reached"), 3)],
)
def test_known_errors_end_in_one_line_and_a_code(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(manage.LazyGroup, "get_command", lambda *_: failing)
    result = CliRunner().invoke(manage.manage, ["config"])
    assert (result.exit_code, result.output) == (code, f"Error: {error}\n")


def test_a_wrong_setting_is_named_by_any_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_HTTP_BINT", "127.0.0.1:1")
    result = CliRunner().invoke(manage.manage, ["config"])
    assert result.exit_code == 2
    assert "NOTIFY_HTTP_BINT is not a setting; did you mean NOTIFY_HTTP_BIND?" in result.output
