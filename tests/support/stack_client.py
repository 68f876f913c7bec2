"""What tests do with a running set, whichever profile it is of: ask it, break it, look at what it said and stored."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.support.history import HistoryView

ROOT = Path(__file__).parents[2]
TAIL_LINES = 60
POOLS = ("worker-high", "worker", "worker-low")
#: The parts that run our code, Flower's aside; each has `/metrics`, but for the mailbox.
PARTS = ("api", "router", "dispatcher", "tracker", "scheduler", *POOLS, "mailbox")
LOOK_S = 0.05
REQUEST_S = 30.0
COMMAND_S = 60.0


class Answer(NamedTuple):
    """An HTTP answer. `headers` by names in small letters; `json` is None where the body is no JSON."""

    status: int
    headers: Mapping[str, str]
    json: Any


def wait_until(is_true: Callable[[], Any], what: str, within_s: float = 30.0, look_s: float = LOOK_S) -> Any:
    """What `is_true` gives once it is true; fails where that takes too long."""
    deadline = time.monotonic() + within_s
    while not (found := is_true()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(look_s)
    return found


class StackClient(ABC):
    """A set of either profile. `Stack` and `RealStack` set what is declared here."""

    profile: str
    history: HistoryView
    folder: Path
    log_path: Path
    environ: dict[str, str]
    port: int
    mailbox_port: int
    flower_port: int
    redis_port: int
    _log_start = 0

    # its life

    @abstractmethod
    def start(self) -> None:
        """Start it with empty stores and wait until all parts are ready."""

    @abstractmethod
    def start_again(self) -> None:
        """Start what was stopped, with all that its stores have kept."""

    @abstractmethod
    def stop(self) -> int:
        """Stop it in order; 0 where all ended by themselves. Fails where anything it started is left running."""

    @property
    @abstractmethod
    def is_running(self) -> bool: ...

    # its parts

    @abstractmethod
    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the part's own process a signal, that of each replica."""

    @abstractmethod
    def children(self, pool: str) -> list[psutil.Process]:
        """The children of a pool of workers."""

    @abstractmethod
    def processes(self, part: str) -> list[psutil.Process]:
        """All processes of the part, parents first: its replicas, and what they started."""

    def signal_all(self, part: str, number: signal.Signals) -> None:
        """The same signal to every process of a part."""
        for one in self.processes(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    def signal_workers(self, number: signal.Signals) -> None:
        """The same signal to every process of every pool."""
        for pool in POOLS:
            self.signal_all(pool, number)

    @abstractmethod
    def times_ready(self, part: str) -> int:
        """How often the part has become ready since the start."""

    @abstractmethod
    def wait_ready(self, part: str, times: int) -> None:
        """Until it has become ready so many times."""

    def kill_child(self, pool: str) -> None:
        """kill -9 of one worker child; the pool's parent makes another."""
        wait_until(lambda: self.children(pool), f"{pool} has children")[0].kill()

    @abstractmethod
    def redis_frozen(self) -> AbstractContextManager[None]:
        """Redis, all of it, does not answer as long as the block lasts."""

    # what it says and stores

    @abstractmethod
    def endpoints(self) -> dict[str, str]:
        """Where its parts can be reached, by the names of settings."""

    @abstractmethod
    def metrics_targets(self) -> Sequence[tuple[str, str]]:
        """(part, address) of each process that shows `/metrics`; parts without the numbers of replicas."""

    @abstractmethod
    def stored(self) -> bytes:
        """Everything that its databases hold, as they hold it."""

    def log(self) -> str:
        """What was printed since the last start."""
        with self.log_path.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def tail(self) -> str:
        return "\n".join(self.log().splitlines()[-TAIL_LINES:])

    def lines(self) -> list[tuple[str, str]]:
        """(part, line) of what was printed since the last start; parts without the numbers of replicas."""
        return re.findall(r"^(\S+?)(?:-\d+)? +\| (.+)$", self.log(), re.MULTILINE)

    def all_logs(self) -> dict[str, str]:
        """Every log file that the set has written."""
        return {path.name: path.read_text(errors="replace") for path in self.folder.rglob("*.log")}

    # its answers

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def put(self, path: str, body: Any) -> Answer:
        return self.request("PUT", path, json.dumps(body).encode())

    def post(self, event: Any, **headers: str) -> Answer:
        """POST an event."""
        return self.request("POST", "/api/v1/notifications", json.dumps(event).encode(), headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer of the HTTP service. Raises OSError where there is none."""
        given = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in (headers or {}).items()
        }
        return ask(self.port, method, path, body, given)

    def mailbox(self, path: str) -> Any:
        """JSON of the mailbox page."""
        return ask(self.mailbox_port, "GET", path).json

    def flower(self, path: str) -> Any:
        """JSON of Flower's API."""
        return ask(self.flower_port, "GET", path, headers={"Authorization": f"Basic {self.flower_auth()}"}).json

    def flower_auth(self) -> str:
        """What Flower asks for, encoded for the header."""
        return b64encode(self._flower_user().encode()).decode()

    @abstractmethod
    def _flower_user(self) -> str:
        """user:password."""

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of manage.py beside the running set."""
        argv = [sys.executable, str(ROOT / "manage.py"), *words]
        return subprocess.run(
            argv, cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )

    def final(self, notification_id: str, within_s: float = 30.0) -> Any:
        """GET of the notification, once all its deliveries are final."""
        return self.shown(notification_id, lambda shown: shown["status"] not in ("accepted", "parked"), within_s)

    def shown(self, notification_id: str, is_wanted: Callable[[Any], bool], within_s: float = 30.0) -> Any:
        """GET of the notification, once it is as wanted."""
        last: list[Any] = [None]

        def look() -> Any:
            last[0] = self.get(f"/api/v1/notifications/{notification_id}").json
            return last[0] if is_wanted(last[0]) else None

        try:
            return wait_until(look, f"{notification_id} is as wanted", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last[0]}") from None


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request. Raises OSError where there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_S)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        text = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(type(error).__name__) from error
    finally:
        connection.close()
    is_json = "json" in (response.getheader("Content-Type") or "")
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, json.loads(text) if is_json else None)


#: The sets that run now.
running: list[StackClient] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """For conftests to import: a test that fails shows what the running sets last said."""
    report = yield
    if report.failed:
        report.sections += [(f"log of the set in {one.folder}", one.tail()) for one in running]
    return report


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs: it is neither gone nor a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def processes_of(sessions: set[int]) -> list[psutil.Process]:
    """All processes of these sessions, also those that have left their parents."""
    return [one for one in psutil.process_iter() if session_of(one.pid) in sessions]


def session_of(pid: int) -> int:
    """The session of a process; -1 where it is gone or another's."""
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1
