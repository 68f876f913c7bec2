"""API keys between processes: what the command line says holds in every HTTP process soon after."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.api_keys import bearer
from tests.support.kafka_broker import eventually
from tests.support.redis_server import free_port

ROOT = Path(__file__).parents[2]
START_S = 20.0
REFRESH_S = 1.0
#: What a refusal may take beyond the age of the copy, on a busy machine.
SLACK_S = 2.0
USER = "/api/v1/users/nobody"


class HttpProcess:
    """`manage.py api` on a port of its own, asking for keys."""

    def __init__(self, environ: dict[str, str], output: Path) -> None:
        self.port = free_port()
        bind = {"NOTIFY_HTTP_BIND": f"127.0.0.1:{self.port}", "NOTIFY_HTTP_AUTH": "keys"}
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "api"], cwd=ROOT, env=environ | bind, stdout=file, stderr=file
            )

    def status(self, path: str, token: str | None = None) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=bearer(token) if token else {})
            return connection.getresponse().status
        finally:
            connection.close()

    def is_up(self) -> bool:
        try:
            return self.status("/livez") == 200
        except OSError:
            assert self._process.poll() is None
            return False

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(15)


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
            eventually(process.is_up, "the process", START_S)
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
    start = time.monotonic()
    for process in processes:
        eventually(lambda one=process: one.status(USER, token) == 401, "the refusal", REFRESH_S + SLACK_S)  # type: ignore[misc]
    assert time.monotonic() - start < REFRESH_S + SLACK_S
