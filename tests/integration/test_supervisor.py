"""The supervisor with stand-in parts, as a process of its own: what it says, restarts, and leaves behind (nothing)."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.domain.errors import ConfigError
from infrastructure.embedded.ports import Listener, check_free

ROOT = Path(__file__).parents[2]
WITHIN_S = 20.0


class RunningSet:
    """The stand-in set, with all it has printed so far."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.stand_in_set", str(folder), *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self.process.stdout:
                self.lines.append(line.rstrip())

    def wait_for(self, pattern: str, times: int = 1) -> str:
        found: list[str] = []

        def is_there() -> bool:
            found[:] = [line for line in list(self.lines) if re.search(pattern, line)]
            return len(found) >= times

        wait_until(is_there, f"{pattern!r} x {times} in\n" + "\n".join(self.lines))
        return found[-1]

    def pid(self, name: str) -> int:
        path = self.folder / f"{name}.pid"
        wait_until(path.exists, f"{path} is there")
        return int(path.read_text())

    def pids(self) -> list[int]:
        return [self.pid(name) for name in ("base", "child", "last", "grandchild")]

    def end(self) -> int:
        code = self.process.wait(WITHIN_S)
        self._reader.join(WITHIN_S)
        return code


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_true():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningSet]]:
    started: list[RunningSet] = []

    def start(*words: str) -> RunningSet:
        started.append(RunningSet(tmp_path, *words))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.end()
        assert running.process.stdout is not None
        running.process.stdout.close()


def test_it_tells_of_each_part_in_order_and_prefixes_their_lines(start: Callable[..., RunningSet]) -> None:
    running = start()
    running.wait_for("^complete$")
    told = [line for line in running.lines if re.search(r"is (ready|done)", line)]
    assert {line.split()[2] for line in told} == {"base", "step", "child", "last"}
    assert {line.split()[2] for line in told[:2]} == {"base", "step"}
    assert re.fullmatch(r"base +\| hello from base", running.wait_for("hello from base"))


def test_a_killed_part_is_started_again_and_it_says_so(start: Callable[..., RunningSet]) -> None:
    running = start()
    running.wait_for("^complete$")
    before = running.pids()
    os.kill(before[1], signal.SIGKILL)
    running.wait_for(r"child died \(signal 9\), restarted")
    running.wait_for("child is ready", times=2)
    after = running.pids()
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]
    assert not is_running(before[3]), "what the dead part had started is gone"
    assert running.lines.count("complete") == 1


def test_the_death_of_a_vital_part_restarts_the_whole_set(start: Callable[..., RunningSet]) -> None:
    running = start()
    running.wait_for("^complete$")
    before = running.pids()
    os.kill(before[0], signal.SIGKILL)
    running.wait_for(r"base died \(signal 9\), restarted: the whole set starts again")
    for name in ("base", "step", "child", "last"):
        running.wait_for(f"{name} is (ready|done)", times=2)
    assert not set(before) & set(running.pids())
    assert not any(map(is_running, before))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_by_plan_and_nothing_is_left(
    start: Callable[..., RunningSet], number: signal.Signals
) -> None:
    running = start()
    running.wait_for("^complete$")
    pids = running.pids()
    running.process.send_signal(number)
    assert running.end() == 0
    assert not any(map(is_running, pids))
    assert re.search(r"sweep +\| swept", "\n".join(running.lines))
    assert running.lines[-1].endswith("stopped, nothing is left running")


def test_a_part_that_does_not_stop_is_killed_and_named(start: Callable[..., RunningSet]) -> None:
    running = start("deaf")
    running.wait_for("^complete$")
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert any("last has not stopped within 0.5 s, killed" in line for line in running.lines)


def test_a_second_signal_stops_at_once(start: Callable[..., RunningSet]) -> None:
    running = start("deaf")
    running.wait_for("^complete$")
    pids = running.pids()
    running.process.send_signal(signal.SIGINT)
    running.wait_for("stopping")
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert not any(map(is_running, pids))
    assert not any("swept" in line for line in running.lines)


def test_a_killed_supervisor_leaves_nothing_running(start: Callable[..., RunningSet]) -> None:
    running = start()
    running.wait_for("^complete$")
    pids = running.pids()
    running.process.kill()
    wait_until(lambda: not any(map(is_running, pids)), "every part is gone")


def test_a_step_that_fails_ends_the_set_with_its_code(start: Callable[..., RunningSet]) -> None:
    running = start("failing")
    assert running.end() == 7
    assert any("step failed (exit code 7): stopping" in line for line in running.lines)
    assert not any("child is ready" in line for line in running.lines)


def test_a_taken_port_is_named_with_the_setting_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}, the port of redis, is taken; NOTIFY_REDIS_PORT"):
            check_free([Listener("redis", "127.0.0.1", port, "NOTIFY_REDIS_PORT")])
    check_free([Listener("redis", "127.0.0.1", port, "NOTIFY_REDIS_PORT")])
