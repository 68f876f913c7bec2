"""The embedded set (`manage.py up`) as real processes: started, watched, broken and stopped by a test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.settings import Settings
from infrastructure.telemetry.targets import targets
from tests.support.history import SqliteHistory
from tests.support.ports import free_port
from tests.support.stack_client import (
    POOLS,
    ROOT,
    StackClient,
    is_alive,
    processes_of,
    pytest_runtest_makereport,
    running,
    session_of,
    wait_until,
)

__all__ = ["POOLS", "pytest_runtest_makereport"]

START_S = 90.0
STOP_S = 60.0
RESTART_S = 60.0

#: How each part's process is recognised by its command line (workers rename themselves while they start).
PARTS: Mapping[str, str] = {
    "broker": r"manage\.py broker",
    "redis": r"redis-server",
    "mailbox": r"manage\.py mailbox",
    "api": r"granian wsgi|manage\.py api",
    "router": r"manage\.py bridge router",
    "dispatcher": r"manage\.py bridge dispatcher",
    "tracker": r"manage\.py bridge tracker",
    "scheduler": r"manage\.py bridge scheduler",
    "callbacks": r"manage\.py bridge callbacks",
    "worker-high": r"worker-high@",
    "worker": r"\bworker@",
    "worker-low": r"worker-low@",
    "flower": r"manage\.py flower",
}

#: What makes tests quick; a test may give others.
QUICK: Mapping[str, str] = {
    "NOT_AFTER_HIGH_S": "4",
    "NOT_AFTER_S": "4",
    "PROVIDER_TIMEOUT_S": "2",
    "RESEND_AFTER_S": "1",
    "STORE_TIMEOUT_S": "2",
    "REDIS_TIMEOUT_S": "1",
    "RETRY_BASE_HIGH_S": "1",
    "RETRY_BASE_S": "1",
    "RETRY_CAP_S": "4",
    "RETRY_MAX": "50",
    "BREAKER_OPEN_S": "1",
    "BREAKER_CAP_S": "2",
    "DRAIN_S": "3",
    "WEBHOOK_ALLOW": "127.0.0.1/32",
    "LIMIT_USER": "",
}


class Stack(StackClient):
    """One set in `folder`. `settings` are NOTIFY_* without the prefix. The ports stay the same over a restart."""

    profile = "embedded"

    def __init__(self, folder: Path, *, python_path: Path | None = None, **settings: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.port, self.mailbox_port, self.flower_port = free_port(), free_port(), free_port()
        self.redis_port = free_port()
        self.log_path = folder / "up.log"
        self.history = SqliteHistory(self.state / "history.db")
        own = {
            "STATE_DIR": str(self.state),
            "HTTP_BIND": f"127.0.0.1:{self.port}",
            "REDIS_PORT": str(self.redis_port),
            "SMTP_BIND": f"127.0.0.1:{free_port()}",
            "MAILBOX_BIND": f"127.0.0.1:{self.mailbox_port}",
            "FLOWER_BIND": f"127.0.0.1:{self.flower_port}",
        }
        caller = {key: value for key, value in os.environ.items() if not key.startswith("NOTIFY_")}  # noqa: TID251 - the set runs in the caller's environment, less its settings
        given = {f"NOTIFY_{name}": value for name, value in (own | settings).items()}
        self.environ = caller | given | ({"PYTHONPATH": str(python_path)} if python_path else {})
        self._process: subprocess.Popen[bytes] | None = None

    # its life

    def start(self) -> None:
        """Start it and wait for the banner."""
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up"],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running.append(self)
        process = self._process
        wait_until(lambda: "All parts are ready." in self.log() or process.poll() is not None, "ready", START_S)
        assert process.poll() is None, f"the set did not start:\n{self.tail()}"

    def start_again(self) -> None:
        """What it has parked is in its state folder; the broker has forgotten all else."""
        self.start()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; its exit code. Fails where anything it started is left running."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is not None:
            running.remove(self)
            return process.returncode
        started = self._everything(process.pid)
        process.send_signal(number)
        try:
            code = process.wait(STOP_S)
        finally:
            process.kill()
            process.wait()
            left = [one for one in started if is_alive(one)]
            for one in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            running.remove(self)
        assert not left, f"left running: {left}"
        return code

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    @staticmethod
    def _everything(supervisor: int) -> list[psutil.Process]:
        """The supervisor, what it started and what those started; also what has left its parent but not its session."""
        parent = psutil.Process(supervisor)
        family = [parent, *parent.children(recursive=True)]
        return processes_of({session_of(one.pid) for one in family} - {-1, os.getsid(0)})

    # its parts

    def process(self, part: str) -> psutil.Process:
        """The part's process, as soon as it runs (again)."""

        def find() -> psutil.Process | None:
            for child in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if re.search(PARTS[part], " ".join(child.cmdline())) and is_alive(child):
                        return child
            return None

        found: psutil.Process = wait_until(find, f"{part} runs", RESTART_S)
        return found

    def children(self, pool: str) -> list[psutil.Process]:
        """The children of a pool of workers."""
        return [child for child in self.process(pool).children() if is_alive(child)]

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the part's own process a signal."""
        self.process(part).send_signal(number)

    def processes(self, part: str) -> list[psutil.Process]:
        """The part's own process, and what it started."""
        parent = self.process(part)
        return [parent, *parent.children(recursive=True)]

    def times_ready(self, part: str) -> int:
        """How often the part has become ready since the start."""
        return len(re.findall(rf"^up +\| {re.escape(part)} is ready", self.log(), re.MULTILINE))

    def wait_ready(self, part: str, times: int) -> None:
        """Until it has become ready so many times."""
        wait_until(lambda: self.times_ready(part) >= times, f"{part} is ready ({times})", RESTART_S)

    @contextmanager
    def redis_frozen(self) -> Iterator[None]:
        """The process is stopped as long as the block lasts."""
        process = self.process("redis")
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    # what it says and stores

    def endpoints(self) -> dict[str, str]:
        """What the set has written for commands beside it."""
        found: dict[str, str] = json.loads((self.state / "endpoints.json").read_text())
        return found

    def metrics_targets(self) -> Sequence[tuple[str, str]]:
        """What the set has written for Prometheus."""
        return list(targets(Settings.load({"NOTIFY_STATE_DIR": str(self.state)})))

    def stored(self) -> bytes:
        """Both SQLite files with what belongs to them."""
        files = [path for path in self.state.rglob("*") if ".db" in path.name and path.is_file()]
        assert {"notify.db", "history.db"} <= {path.name for path in files}
        return b"".join(path.read_bytes() for path in files)

    def _flower_user(self) -> str:
        return (self.state / "flower_auth").read_text().strip()


@contextmanager
def running_stack(folder: Path, *, python_path: Path | None = None, **settings: str) -> Iterator[Stack]:
    """A set until the end of the block; stopped, and nothing left, also where the block fails."""
    stack = Stack(folder, python_path=python_path, **settings)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
