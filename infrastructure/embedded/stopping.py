"""How the set stops: stage by stage, each with a time limit; a second signal ends all at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

import psutil

from infrastructure.embedded.console import Console, Outputs
from infrastructure.embedded.part import Stage, Timing
from infrastructure.embedded.process import Launcher, Run, told
from infrastructure.embedded.signals import StopSignals


class Stopping:
    """One stop of the whole set."""

    def __init__(
        self,
        runs: Mapping[str, Run],
        *,
        launcher: Launcher,
        outputs: Outputs,
        console: Console,
        signals: StopSignals,
        environ: Callable[[], Mapping[str, str]],
        timing: Timing,
    ) -> None:
        self._runs = runs
        self._launcher = launcher
        self._outputs = outputs
        self._console = console
        self._signals = signals
        self._environ = environ
        self._timing = timing
        # Sessions, not groups: a child may leave its group, hardly ever its session.
        self._sessions = {run.process.pid for run in runs.values() if run.process is not None}

    def run(self, plan: Sequence[Stage], *, is_complete: bool) -> bool:
        """Stop everything; whether nothing had to be hunted down afterwards."""
        if self._sessions:
            self._console.say("stopping (Ctrl-C again: at once)")
        for stage in plan:
            if self._is_hurried:
                break
            if not stage.argv:
                self._stop_parts(stage)
            elif is_complete:
                self._run_command(stage)
        for run in self._runs.values():
            run.kill()
        self._pump_until(self._all_ended, self._timing.killed_within_s)
        return self._tell_what_is_left()

    @property
    def _is_hurried(self) -> bool:
        return self._signals.count > 1

    def _stop_parts(self, stage: Stage) -> None:
        runs = [self._runs[name] for name in stage.names if name in self._runs]
        for run in runs:
            run.terminate()
        self._pump_until(lambda: all(self._has_ended(run) for run in runs), stage.within_s)
        for run in runs:
            if run.process is not None and not self._is_hurried:
                self._console.say(f"{run.part.name} has not stopped within {stage.within_s:g} s, killed")
            run.kill()
        self._pump_until(lambda: all(self._has_ended(run) for run in runs), self._timing.killed_within_s)

    def _run_command(self, stage: Stage) -> None:
        name = stage.names[0]
        self._console.say(stage.says)
        process = self._launcher.start(name, stage.argv, self._environ(), 0)
        self._sessions.add(process.pid)
        self._pump_until(lambda: process.poll() is not None, stage.within_s)
        code = process.poll()
        self._launcher.bury(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self._timing.killed_within_s)
        if code is None:
            self._console.say(f"{name} has not ended within {stage.within_s:g} s, killed")
        elif code:
            self._console.say(f"{name} failed ({told(code)})")

    def _has_ended(self, run: Run) -> bool:
        run.ended(self._launcher)
        return run.process is None

    def _all_ended(self) -> bool:
        return all(self._has_ended(run) for run in self._runs.values())

    def _pump_until(self, is_over: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        was_hurried = self._is_hurried
        while not is_over() and time.monotonic() < deadline and self._is_hurried == was_hurried:
            self._outputs.pump(self._timing.tick_s)
        self._outputs.pump(0)

    def _tell_what_is_left(self) -> bool:
        self._pump_until(lambda: not self._left(), self._timing.killed_within_s)
        left = self._left()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            self._console.say(f"stopped; these were left running and have been killed: {pids}")
        else:
            self._console.say("stopped, nothing is left running")
        return not left

    def _left(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter(["status"]) if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        # A zombie runs no more, and waits for init where that is slow.
        return process.info["status"] != psutil.STATUS_ZOMBIE and _session(process.pid) in self._sessions


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1
