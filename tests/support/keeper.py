"""Processes that are kept running, as a container engine's restart policy does, with all they print in one log.

They end with the process of the tests, however that ends: a worker left behind would take the next set's deliveries.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from tests.support.stack_client import ROOT

#: How long after its end a process is started again, seconds.
RESTART_S = 0.5
POLL_S = 0.05
STOP_S = 20.0
#: Kills what is left once this end of its pipe is closed.
UNDERTAKER = "from infrastructure.embedded.undertaker import wait_and_bury; wait_and_bury({})"


@dataclass
class Kept:
    """One process that is started again whenever it ends. `is_ready` is asked until it is true once for each start."""

    name: str
    argv: Sequence[str]
    environ: Mapping[str, str]
    is_ready: Callable[[], bool]
    before_start: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    times_ready: int = 0
    was_ready: bool = False
    due_at_s: float = 0.0
    threads: list[threading.Thread] = field(default_factory=list)


class Keeper:
    """Starts, watches and stops them. Lines go to the log as `name | line`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._log: IO[bytes] = log.open("ab")
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._is_stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self.width = 14
        read_end, self._pipe = os.pipe()
        argv = [sys.executable, "-c", UNDERTAKER.format(read_end)]
        self._undertaker = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[read_end])
        os.close(read_end)

    def keep(self, parts: Sequence[Kept]) -> None:
        """Start them and keep them running from now on."""
        for part in parts:
            self._start(part)
            self._kept[part.name] = part  # only now: who watches takes it for one that runs
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="keeper", daemon=True)
            self._watcher.start()

    def forget(self, name: str, number: signal.Signals) -> None:
        """Send it this signal and start it no more. Fails where it has to be killed."""
        part = self._kept.pop(name)
        time.sleep(2 * POLL_S)  # who watches may be looking at it
        assert part.process is not None
        part.process.send_signal(number)
        assert not self._await_end(part), f"{name} did not end by {number.name}"

    def once(self, parts: Sequence[Kept], within_s: float) -> None:
        """Run these commands to their ends, side by side. Raises RuntimeError naming those that failed."""
        for part in parts:
            self._start(part)
        failed: list[str] = []
        for part in parts:
            assert part.process is not None
            try:
                code = part.process.wait(within_s)
            except subprocess.TimeoutExpired:
                part.process.kill()
                code = part.process.wait()
            for thread in part.threads:
                thread.join()
            os.write(self._pipe, f"-{part.process.pid}\n".encode())
            failed += [f"{part.name} ended with {code}"] if code else []
        if failed:
            raise RuntimeError("; ".join(failed))

    def parts(self, name: str) -> list[Kept]:
        """The part of this name, or all its replicas (`router-1`, `router-2`)."""
        found = [part for key, part in self._kept.items() if name in (key, name_of_replicas(key))]
        assert found, f"{name} is none of {', '.join(self._kept)}"
        return found

    def names(self) -> list[str]:
        return list(self._kept)

    def all(self) -> list[Kept]:
        """All parts that are kept running."""
        return list(self._kept.values())

    def stop(self, order: Sequence[Sequence[str]]) -> list[str]:
        """SIGTERM, one group of names after the other; who had to be killed. One that stands still goes on first."""
        self._is_stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        killed: list[str] = []
        for names in order:
            parts = [part for name in names for part in self.parts(name)]
            for part in parts:
                if part.process is not None and part.process.poll() is None:
                    part.process.terminate()
                    part.process.send_signal(signal.SIGCONT)
            for part in parts:
                killed += self._await_end(part)
        for part in self._kept.values():
            for thread in part.threads:
                thread.join(STOP_S)
        self._kept.clear()
        self._log.close()
        if self._undertaker.returncode is None:
            os.close(self._pipe)
            self._undertaker.wait()
        return killed

    def _await_end(self, part: Kept) -> list[str]:
        if part.process is None:
            return []
        try:
            part.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            for one in _family(part.process.pid):
                one.kill()
            part.process.wait()
            return [part.name]
        finally:
            os.write(self._pipe, f"-{part.process.pid}\n".encode())
        return []

    def _start(self, part: Kept) -> None:
        part.before_start()
        part.was_ready = False
        part.process = subprocess.Popen(
            part.argv,
            cwd=self._folder,
            env=dict(part.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.write(self._pipe, f"+{part.process.pid}\n".encode())
        assert part.process.stdout is not None
        reader = threading.Thread(target=self._copy, args=(part.name, part.process.stdout), daemon=True)
        reader.start()
        part.threads = [one for one in part.threads if one.is_alive()] + [reader]

    def _copy(self, name: str, lines: IO[bytes]) -> None:
        start = f"{name:<{self.width}} | ".encode()
        for line in lines:
            self._write(start + line.rstrip(b"\n") + b"\n")
        lines.close()

    def _write(self, line: bytes) -> None:
        with self._lock:
            if not self._log.closed:
                self._log.write(line)
                self._log.flush()

    def _watch(self) -> None:
        while not self._is_stopping.wait(POLL_S):
            for part in list(self._kept.values()):
                self._look(part)

    def _look(self, part: Kept) -> None:
        assert part.process is not None
        code = part.process.poll()
        if code is not None and not part.due_at_s:
            self._write(f"{'up':<{self.width}} | {part.name} died ({code})\n".encode())
            os.write(self._pipe, f"-{part.process.pid}\n".encode())
            part.due_at_s = time.monotonic() + RESTART_S
        elif part.due_at_s and time.monotonic() >= part.due_at_s:
            part.due_at_s = 0.0
            self._start(part)
        elif not part.due_at_s and not part.was_ready and part.is_ready():
            part.was_ready = True
            part.times_ready += 1
            self._write(f"{'up':<{self.width}} | {part.name} is ready\n".encode())


def _family(pid: int) -> list[psutil.Process]:
    """The process and all it started."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def name_of_replicas(name: str) -> str:
    """`router` for `router-1`; `worker-low` is itself."""
    stem, _, number = name.rpartition("-")
    return stem if number.isdigit() else name
