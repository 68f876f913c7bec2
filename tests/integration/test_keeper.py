"""What keeps the real set's processes running, as containers are kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.keeper import Keeper, Kept
from tests.support.stack_client import ROOT, is_alive, processes_of, wait_until

SLEEPS = "import time\nprint('here', flush=True)\ntime.sleep(60)"


def kept(name: str, program: str) -> Kept:
    return Kept(name, [sys.executable, "-c", program], dict(os.environ), lambda: True)  # noqa: TID251 - the caller's


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "up.log"


@pytest.fixture
def keeper(tmp_path: Path, log: Path) -> Iterator[Keeper]:
    keeper = Keeper(tmp_path, log)
    yield keeper
    keeper.stop([keeper.names()])


def test_what_ends_is_started_again_and_the_log_tells(keeper: Keeper, log: Path) -> None:
    keeper.keep([kept("one", SLEEPS)])
    [part] = keeper.parts("one")
    wait_until(lambda: part.times_ready == 1, "it is ready")
    assert part.process is not None
    part.process.kill()
    wait_until(lambda: part.times_ready == 2, "it is ready again")
    assert "one died (-9)" in log.read_text()
    wait_until(lambda: log.read_text().count("one            | here") == 2, "both have spoken")


def test_replicas_are_parts_of_their_name(keeper: Keeper) -> None:
    keeper.keep([kept(name, SLEEPS) for name in ("router-1", "router-2", "worker-high", "worker")])
    assert [part.name for part in keeper.parts("router")] == ["router-1", "router-2"]
    assert [part.name for part in keeper.parts("router-2")] == ["router-2"]
    assert [part.name for part in keeper.parts("worker")] == ["worker"]
    with pytest.raises(AssertionError, match="none of"):
        keeper.parts("api")


def test_commands_run_side_by_side_and_all_that_failed_are_named(keeper: Keeper, log: Path, tmp_path: Path) -> None:
    """The first waits for what the second writes; what they printed is in the log when they have ended."""
    waits = "import pathlib, time\nwhile not pathlib.Path('mark').exists(): time.sleep(0.01)\nprint('seen')"
    keeper.once([kept("first", waits), kept("second", "open('mark', 'w').close()")], 30)
    assert "first          | seen" in log.read_text()
    with pytest.raises(RuntimeError, match=r"^bad ended with 3; slow ended with -9$"):
        keeper.once([kept("bad", "raise SystemExit(3)"), kept("good", ""), kept("slow", SLEEPS)], 3)


def test_a_stop_ends_also_what_stands_still(keeper: Keeper) -> None:
    keeper.keep([kept("still", SLEEPS)])
    [part] = keeper.parts("still")
    assert part.process is not None
    part.process.send_signal(signal.SIGSTOP)
    process = psutil.Process(part.process.pid)
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "it stands still")
    assert keeper.stop([["still"]]) == []
    assert not process.is_running()


def test_nothing_is_left_where_the_tests_are_killed(tmp_path: Path, log: Path) -> None:
    """By kill -9: neither the process nor what it has started."""
    starts = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {SLEEPS!r}])\ntime.sleep(60)"
    tests = f"""
import time
from pathlib import Path
from tests.integration.test_keeper import kept
from tests.support.keeper import Keeper
keeper = Keeper(Path({str(tmp_path)!r}), Path({str(log)!r}))
keeper.keep([kept("one", {starts!r})])
print(keeper.all()[0].process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", tests], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        session = int(process.stdout.readline())
        wait_until(lambda: "here" in log.read_text(), "the grandchild runs")
        assert len(processes_of({session})) == 2
        process.kill()
        wait_until(lambda: not [one for one in processes_of({session}) if is_alive(one)], "all are gone")


def test_what_is_taken_away_is_not_started_again(keeper: Keeper, log: Path) -> None:
    keeper.keep([kept("one", SLEEPS), kept("two", SLEEPS)])
    [part] = keeper.parts("one")
    wait_until(lambda: part.times_ready == 1, "it is ready")
    keeper.forget("one", signal.SIGKILL)
    assert part.process is not None
    assert part.process.poll() == -signal.SIGKILL
    assert keeper.names() == ["two"]
    assert "died" not in log.read_text()
