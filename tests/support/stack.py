"""The embedded set (`manage.py up`) as real processes: started, watched, broken and stopped by a test."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.history import SqliteHistory
from tests.support.redis_server import free_port
from tests.support.stack_client import ROOT, StackClient, wait_until

START_S = 90.0
STOP_S = 60.0
RESTART_S = 60.0
TAIL_LINES = 60

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
    "worker-high": r"worker-high@",
    "worker": r"\bworker@",
    "worker-low": r"worker-low@",
    "flower": r"manage\.py flower",
}
POOLS = ("worker-high", "worker", "worker-low")

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

_running: list[Stack] = []


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
        self._log_start = 0

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
        _running.append(self)
        process = self._process
        wait_until(lambda: "All parts are ready." in self.log() or process.poll() is not None, "ready", START_S)
        assert process.poll() is None, f"the set did not start:\n{self.tail()}"

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; its exit code. Fails where anything it started is left running."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is not None:
            _running.remove(self)
            return process.returncode
        started = self._everything(process.pid)
        process.send_signal(number)
        try:
            code = process.wait(STOP_S)
        finally:
            process.kill()
            process.wait()
            left = [one for one in started if _is_alive(one)]
            for one in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            _running.remove(self)
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
        sessions = {_session(one.pid) for one in family} - {-1, os.getsid(0)}
        return [one for one in psutil.process_iter() if _session(one.pid) in sessions]

    # its parts

    def process(self, part: str) -> psutil.Process:
        """The part's process, as soon as it runs (again)."""

        def find() -> psutil.Process | None:
            for child in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if re.search(PARTS[part], " ".join(child.cmdline())) and _is_alive(child):
                        return child
            return None

        found: psutil.Process = wait_until(find, f"{part} runs", RESTART_S)
        return found

    def children(self, pool: str) -> list[psutil.Process]:
        """The children of a pool of workers."""
        return [child for child in self.process(pool).children() if _is_alive(child)]

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the part's own process a signal."""
        self.process(part).send_signal(number)

    def kill_child(self, pool: str) -> None:
        """kill -9 of one worker child; the pool's parent makes another."""
        wait_until(lambda: self.children(pool), f"{pool} has children")[0].kill()

    def signal_workers(self, number: signal.Signals) -> None:
        """The same signal to every process of every pool, parents first."""
        for pool in POOLS:
            parent = self.process(pool)
            for one in (parent, *parent.children()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(number)

    def times_ready(self, part: str) -> int:
        """How often the part has become ready since the start."""
        return len(re.findall(rf"^up +\| {re.escape(part)} is ready", self.log(), re.MULTILINE))

    def wait_ready(self, part: str, times: int) -> None:
        """Until it has become ready so many times."""
        wait_until(lambda: self.times_ready(part) >= times, f"{part} is ready ({times})", RESTART_S)

    # what it says

    def log(self) -> str:
        """What was printed since the last start."""
        with self.log_path.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def tail(self) -> str:
        return "\n".join(self.log().splitlines()[-TAIL_LINES:])


@contextmanager
def running_stack(folder: Path, *, python_path: Path | None = None, **settings: str) -> Iterator[Stack]:
    """A set until the end of the block; stopped, and nothing left, also where the block fails."""
    stack = Stack(folder, python_path=python_path, **settings)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """For conftests to import: a test that fails shows what the running sets last said."""
    report = yield
    if report.failed:
        report.sections += [(f"log of the set in {stack.folder}", stack.tail()) for stack in _running]
    return report


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1
