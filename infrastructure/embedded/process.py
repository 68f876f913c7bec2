"""One part's process: started in a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infrastructure.embedded.console import Outputs
from infrastructure.embedded.part import Part, Timing
from infrastructure.embedded.undertaker import Undertaker, kill_group


class Launcher:
    """Starts processes whose output is shown and whose end is seen to."""

    def __init__(self, outputs: Outputs, undertaker: Undertaker, folder: Path) -> None:
        self._outputs = outputs
        self._undertaker = undertaker
        self._folder = folder

    def start(self, name: str, argv: Sequence[str], environ: Mapping[str, str], nice: int) -> subprocess.Popen[bytes]:
        """The running process, leader of its session and group. Raises OSError where there is no such program."""
        read_end, write_end = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - the command lines are ours
                argv,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=self._folder,
                start_new_session=True,
            )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._undertaker.watch(process.pid)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        self._outputs.add(name, read_end)
        return process

    def bury(self, process: subprocess.Popen[bytes]) -> None:
        """After the process has ended: end what it left behind in its group."""
        kill_group(process.pid)
        self._undertaker.forget(process.pid)


class Run:
    """A part and how it fares."""

    def __init__(self, part: Part, timing: Timing) -> None:
        self.part = part
        self._timing = timing
        self.process: subprocess.Popen[bytes] | None = None
        self.is_ready = False
        self.was_ready = False
        self.started_at = 0.0
        self.deaths = 0
        self.due_at = 0.0

    @property
    def is_done(self) -> bool:
        """Whether it is a step that has done its work."""
        return self.part.is_step and self.is_ready

    def start(self, launcher: Launcher, environ: Mapping[str, str]) -> None:
        """Start the part's process."""
        self.part.before_start()
        self.process = launcher.start(self.part.name, self.part.argv, environ, self.part.nice)
        self.started_at = time.monotonic()

    def ended(self, launcher: Launcher) -> int | None:
        """The process's return code (negative: the signal) once it has ended, told once; None before and after."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        launcher.bury(self.process)
        self.process = None
        self.is_ready = False
        return code

    def note_ready(self) -> float:
        """The part is ready; how many seconds that took."""
        self.is_ready = True
        if not self.was_ready:
            self.was_ready = True
            self.part.when_ready()
        return time.monotonic() - self.started_at

    def schedule_restart(self) -> float:
        """Seconds until it is to be started again: at once, then longer with each death in a row."""
        now = time.monotonic()
        self.deaths = 1 if now - self.started_at > self._timing.steady_s else self.deaths + 1
        waits = self._timing.backoff_s * 2.0 ** (self.deaths - 2) if self.deaths > 1 else 0.0
        waits = min(waits, self._timing.backoff_cap_s)
        self.due_at = now + waits
        return waits

    def terminate(self) -> None:
        """Ask the process to stop; its children are its own business."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the process and all of its group."""
        if self.process is not None:
            kill_group(self.process.pid)

    def forget(self) -> None:
        """The set starts from the beginning."""
        self.is_ready = self.was_ready = False


def told(code: int) -> str:
    """How a process ended, in words."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
