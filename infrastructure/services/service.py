"""One service as a process: started, looked at, and ended by its own process id."""

from __future__ import annotations

import dataclasses
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from infrastructure.services.layout import HOST

#: Longest wait until a service answers, seconds; JVMs start slowly on a busy machine.
START_S = 120.0
STOP_S = 30.0
POLL_S = 0.1
TAIL_LINES = 20
#: What this process has started: services outlive whoever starts them, and an object that goes first warns of that.
_started: list[subprocess.Popen[bytes]] = []


class ServiceError(Exception):
    """A service that did not start or stop; the text says which, and what it printed last."""


def accepts(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program with its ports. `prepare` makes its files; `is_up` says whether it answers."""

    name: str
    folder: Path
    argv: Sequence[str]
    ports: Sequence[int]
    is_up: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    environ: Mapping[str, str] | None = None

    @property
    def log_path(self) -> Path:
        """What it prints."""
        return self.folder / f"{self.name}.log"

    def process(self) -> psutil.Process | None:
        """Its process, if it runs; never a stranger that got its number."""
        try:
            pid, started_at = self._pid_path.read_text().split()
            found = psutil.Process(int(pid))
            is_ours = abs(found.create_time() - float(started_at)) < 1.0
            return found if is_ours and found.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None

    def spawn(self) -> None:
        """Start it, unless it runs. Raises ServiceError where somebody else has one of its ports."""
        if self.process() is not None:
            return
        taken = [port for port in self.ports if accepts(port)]
        if taken:
            raise ServiceError(f"{self.name}: port {taken[0]} is taken by something else")
        self.prepare()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            started = subprocess.Popen(  # noqa: S603 - the command line is ours
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=self.environ
            )
        _started.append(started)
        self._pid_path.write_text(f"{started.pid} {psutil.Process(started.pid).create_time()}")

    def wait(self, within_s: float = START_S) -> None:
        """Until it answers. Raises ServiceError where it ends before, or takes too long."""
        deadline = time.monotonic() + within_s
        while not self.is_up():
            if self.process() is None:
                raise ServiceError(f"{self.name} ended while it started:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} did not answer in {within_s:g} s:\n{self.tail()}")
            time.sleep(POLL_S)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if (found := self.process()) is not None:
            found.send_signal(number)

    def kill(self) -> None:
        """End it without asking (SIGKILL), and wait until it is gone."""
        if (found := self.process()) is not None:
            found.kill()
            self._wait_gone(found)

    def stop(self) -> None:
        """SIGTERM, SIGKILL after `STOP_S`, and wait."""
        found = self.process()
        if found is None:
            return
        found.send_signal(signal.SIGCONT)
        found.terminate()
        try:
            self._wait_gone(found)
        except ServiceError:
            self.kill()

    def tail(self) -> str:
        """The last lines it printed."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    @property
    def _pid_path(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def _wait_gone(self, found: psutil.Process) -> None:
        try:
            found.wait(STOP_S)
        except psutil.TimeoutExpired as error:
            raise ServiceError(f"{self.name} (process {found.pid}) does not end") from error
