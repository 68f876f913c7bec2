"""A real Redis server for tests, found as the embedded profile finds it: on a free port, in a folder of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.embedded.redis import find_server
from tests.support.ending import end
from tests.support.ports import free_port

START_S = 10.0
STOP_S = 5.0


class RedisServer:
    """One server; it keeps its port and its folder over stop and start, but no data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, db: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{db}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = [str(find_server()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        argv += ["--save", "", "--appendonly", "no", "--logfile", str(self.folder / "redis.log")]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError((self.folder / "redis.log").read_text())
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it, by force where it does not go in time. Harmless where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            end(process, STOP_S)

    def flush(self) -> None:
        """Remove all that it holds."""
        self._command(b"FLUSHALL")

    def _answers(self) -> bool:
        try:
            return self._command(b"PING") == b"+PONG\r\n"
        except OSError:
            return False

    def _command(self, inline: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
            connection.sendall(inline + b"\r\n")
            return connection.recv(64)


@pytest.fixture(scope="session")
def running_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for the whole run; ask for `redis_server` to have it empty, and do not stop this one."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(running_redis: RedisServer) -> RedisServer:
    """The run's server, emptied."""
    running_redis.flush()
    return running_redis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone, which it may stop and start."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
