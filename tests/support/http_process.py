"""`manage.py api` as a process on a port of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

from tests.support.api_keys import bearer
from tests.support.kafka_broker import eventually
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
START_S = 20.0
STOP_S = 15.0


class HttpProcess:
    """One process, asking for API keys; what it says goes to `output`."""

    def __init__(self, environ: Mapping[str, str], output: Path) -> None:
        self.port = free_port()
        bind = {"NOTIFY_HTTP_BIND": f"127.0.0.1:{self.port}", "NOTIFY_HTTP_AUTH": "keys"}
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "api"], cwd=ROOT, env={**environ, **bind}, stdout=file, stderr=file
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self, path: str, token: str | None = None) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=bearer(token) if token else {})
            return connection.getresponse().status
        finally:
            connection.close()

    def wait_until_up(self) -> None:
        eventually(self._is_up, "the process", START_S)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(STOP_S)

    def _is_up(self) -> bool:
        try:
            return self.status("/livez") == 200
        except OSError:
            assert self._process.poll() is None
            return False
