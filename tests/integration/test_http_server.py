"""`manage.py api` as a process: starting, stopping, dying."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from app.domain.event import MAX_EVENT_BYTES
from app.http.notifications import MAX_BATCH_BYTES
from tests.support.http_services import EVENT
from tests.support.ports import free_port

ARGV = [sys.executable, "manage.py", "api"]
ROOT = Path(__file__).parents[2]
START_S = 20.0
INTAKE_TIMEOUT_S = 1.0


class Server:
    """The process on its port. No Kafka is there: every event waits for its time-out."""

    def __init__(self, folder: Path, bind: str) -> None:
        self.host, _, port = bind.rpartition(":")
        self.port = int(port)
        self.output = folder / "output"
        self.environ = {
            "NOTIFY_HTTP_BIND": bind,
            "NOTIFY_STATE_DIR": str(folder),
            "NOTIFY_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
            "NOTIFY_INTAKE_TIMEOUT_S": str(INTAKE_TIMEOUT_S),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(ARGV, cwd=ROOT, env=self.environ, stdout=output, stderr=output)
        return self.process

    def start(self) -> subprocess.Popen[bytes]:
        process = self.spawn()
        until = time.monotonic() + START_S
        while True:
            try:
                status, _ = self.request("GET", "/livez")
            except OSError:
                assert process.poll() is None, self.output.read_text()
                assert time.monotonic() < until, self.output.read_text()
                time.sleep(0.05)
            else:
                assert status == 200
                return process

    def request(self, method: str, path: str, body: bytes | Iterable[bytes] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(
                method,
                path,
                body,
                {"Content-Type": "application/x-ndjson" if path.endswith("batch") else "application/json"},
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def is_gone(process: psutil.Process) -> bool:
    """Also where nobody has taken note of its death yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, f"127.0.0.1:{free_port()}")
    yield made
    made.end()


def test_a_request_under_way_is_answered_before_a_stop_ends_the_server(server: Server) -> None:
    process = server.start()
    [worker] = psutil.Process(process.pid).children()
    with ThreadPoolExecutor() as pool:
        posted = pool.submit(server.request, "POST", "/api/v1/notifications", json.dumps(EVENT).encode())
        time.sleep(INTAKE_TIMEOUT_S / 4)
        process.terminate()
        assert posted.result()[0] == 503
    assert process.wait(10) == 0
    assert is_gone(worker)


def test_a_killed_server_takes_its_worker_along_and_starts_again_at_once(server: Server) -> None:
    process = server.start()
    [worker] = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    server.start()
    assert is_gone(worker)


def test_a_killed_worker_ends_the_server_so_that_it_is_started_again(server: Server) -> None:
    process = server.start()
    [worker] = psutil.Process(process.pid).children()
    os.kill(worker.pid, signal.SIGKILL)
    assert process.wait(10) != 0


def test_a_worker_that_ends_itself_ends_the_server_so_that_it_is_started_again(server: Server) -> None:
    process = server.start()
    [worker] = psutil.Process(process.pid).children()
    worker.terminate()
    assert process.wait(10) != 0


def test_a_taken_port_is_named(server: Server) -> None:
    """Also where whoever has it would share it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", server.port))
        other.listen()
        assert server.spawn().wait(START_S) == 2
    said = server.output.read_text()
    assert f"127.0.0.1:{server.port}" in said
    assert "NOTIFY_HTTP_BIND" in said
    assert "Traceback" not in said


def test_an_open_address_without_a_word_about_it_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, f"0.0.0.0:{free_port()}")
    assert server.spawn().wait(START_S) == 2
    assert "NOTIFY_HTTP_AUTH" in server.output.read_text()


def test_a_body_that_is_too_large_is_told_so_also_where_its_length_is_not(server: Server) -> None:
    """None of it is taken: cut at the limit, a batch in lines would lose events without a word."""
    server.start()
    line = json.dumps(EVENT | {"content": "x" * 200_000}).encode() + b"\n"
    chunks = [line] * (MAX_BATCH_BYTES // len(line) + 1)
    for path, body in (
        ("/api/v1/notifications", b"x" * (MAX_EVENT_BYTES + 1)),
        ("/api/v1/notifications", iter([b" " * 100_000] * 3)),
        ("/api/v1/notifications/batch", iter(chunks)),
    ):
        status, answer = server.request("POST", path, body)
        assert status == 413
        assert json.loads(answer)["type"].endswith(":too-large")


def test_an_event_is_explained_with_none_of_its_stores_there(server: Server) -> None:
    """What channels, templates and stores are needed for is looked up by the server's own wiring."""
    server.start()
    status, answer = server.request("POST", "/api/v1/explain", json.dumps(EVENT).encode())
    assert status == 200, server.output.read_text()
    email, push, _ = json.loads(answer)["deliveries"]
    assert email["address"] == {"unknown": "SQL does not answer"}
    assert email["content"]["html"].startswith("<!doctype html>")
    assert push["verdict"] == {"status": "suppressed", "reason": "channel_not_configured"}
