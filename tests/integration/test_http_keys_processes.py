"""API keys between processes: what the command line says holds in every HTTP process soon after."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_process import ROOT, HttpProcess
from tests.support.kafka_broker import eventually
from tests.support.ports import free_port

REFRESH_S = 1.0
#: What a refusal may take beyond the age of the copy, on a busy machine.
SLACK_S = 10.0
USER = "/api/v1/users/nobody"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "NOTIFY_STATE_DIR": str(tmp_path),
        "NOTIFY_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "NOTIFY_KEYS_REFRESH_S": str(REFRESH_S),
    }


def manage(environ: dict[str, str], *words: str) -> str:
    argv = [sys.executable, "manage.py", *words]
    return subprocess.run(argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def processes(tmp_path: Path, environ: dict[str, str]) -> Iterator[list[HttpProcess]]:
    manage(environ, "migrate")
    made = [HttpProcess(environ, tmp_path / f"output{number}") for number in range(2)]
    try:
        for process in made:
            process.wait_until_up()
        yield made
    finally:
        for process in made:
            process.stop()


def test_a_key_made_and_revoked_elsewhere_is_taken_and_refused_by_all_processes(
    processes: list[HttpProcess], environ: dict[str, str]
) -> None:
    token = manage(environ, "keys", "create", "shop", "--scope", "read")
    assert [process.status(USER, token) for process in processes] == [404, 404]
    manage(environ, "keys", "revoke", token.split("_")[1])
    for process in processes:
        eventually(lambda one=process: one.status(USER, token) == 401, "the refusal", REFRESH_S + SLACK_S)  # type: ignore[misc]
