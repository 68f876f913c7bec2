"""The supervisor: starts the parts in order, shows what they say, restarts what dies, stops all of it by a plan.

One thread, one loop. It ends with nothing left running, and so it does when it is killed (`undertaker`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infrastructure.embedded.console import Console, Outputs
from infrastructure.embedded.part import Part, Stage, Timing
from infrastructure.embedded.process import Launcher, Run, told
from infrastructure.embedded.signals import StopSignals
from infrastructure.embedded.stopping import Stopping
from infrastructure.embedded.undertaker import Undertaker

#: A part that ends with it before the set is complete has found a wrong setting: starting it again is no use.
CONFIG_EXIT = 2


class Supervisor:
    """Runs a set of parts. `environ` is asked at each start, so that a later part learns what an earlier one made."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        plan: Sequence[Stage],
        environ: Callable[[], Mapping[str, str]],
        folder: Path,
        console: Console,
        when_complete: Callable[[], None],
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._runs = {part.name: Run(part, self._timing) for part in parts}
        self._plan = plan
        self._environ = environ
        self._folder = folder
        self._console = console
        self._when_complete = when_complete
        self._is_complete = False
        self._was_complete = False
        self._exit_code: int | None = None
        self._set_started_at = time.monotonic()
        self._is_slow = False

    def run(self) -> int:
        """Run until a signal or a part's failure ends it; the exit code. Raises what the parts' hooks raise."""
        undertaker = Undertaker()
        with StopSignals() as signals:
            outputs = Outputs(self._console, signals.wakeup)
            self._launcher = Launcher(outputs, undertaker, self._folder)
            try:
                while self._exit_code is None and not signals.count and not self._console.is_gone:
                    self._turn()
                    outputs.pump(self._timing.idle_s if self._is_complete else self._timing.tick_s)
            finally:
                is_clean = self._stopping(outputs, signals).run(self._plan, is_complete=self._is_complete)
                undertaker.close()
                outputs.close()
        return self._exit_code or (0 if is_clean else 1)

    def _turn(self) -> None:
        for run in self._runs.values():
            code = run.ended(self._launcher)
            if code is not None:
                self._note_end(run, code)
        for run in self._runs.values():
            self._start_if_due(run)
            self._look(run)
        if not self._is_complete:
            self._note_progress()

    def _note_end(self, run: Run, code: int) -> None:
        name = run.part.name
        if run.part.is_step and code == 0:
            self._note_ready(run)
        elif run.part.is_step or (code == CONFIG_EXIT and not self._was_complete):
            self._console.say(f"{name} failed ({told(code)}): stopping")
            self._exit_code = code if code > 0 else 1
        elif self._exit_code is None:
            waits = run.schedule_restart()
            self._is_complete = False
            then = "restarted" if waits == 0 else f"restarts in {waits:g} s"
            self._console.say(f"{name} died ({told(code)}), {then}{run.part.says_on_death}")
            if run.part.is_vital:
                self._restart_set()

    def _restart_set(self) -> None:
        """Stop everything at short notice; the next turns start it from the beginning."""
        for run in self._runs.values():
            run.terminate()
        time.sleep(self._timing.restart_within_s)
        for run in self._runs.values():
            run.kill()
            if run.process is not None:
                run.process.wait(self._timing.killed_within_s)
            run.ended(self._launcher)
            run.forget()
        self._set_started_at = time.monotonic()
        self._is_slow = False

    def _start_if_due(self, run: Run) -> None:
        waits = run.process is not None or run.is_done or time.monotonic() < run.due_at
        if waits or self._exit_code is not None or not all(self._runs[name].is_ready for name in run.part.after):
            return
        run.start(self._launcher, self._environ())

    def _look(self, run: Run) -> None:
        if run.process is not None and not run.is_ready and not run.part.is_step and run.part.is_ready():
            self._note_ready(run)

    def _note_ready(self, run: Run) -> None:
        took_s = run.note_ready()
        self._console.say(f"{run.part.name} {'is done' if run.part.is_step else 'is ready'} ({took_s:.1f} s)")

    def _note_progress(self) -> None:
        missing = [name for name, run in self._runs.items() if not run.is_ready]
        if not missing:
            self._is_complete = True
            if not self._was_complete:
                self._when_complete()
            self._was_complete = True
        elif not self._is_slow and time.monotonic() - self._set_started_at > self._timing.slow_start_s:
            self._is_slow = True
            self._console.say(f"still waiting for {', '.join(missing)}")

    def _stopping(self, outputs: Outputs, signals: StopSignals) -> Stopping:
        return Stopping(
            self._runs,
            launcher=self._launcher,
            outputs=outputs,
            console=self._console,
            signals=signals,
            environ=self._environ,
            timing=self._timing,
        )
