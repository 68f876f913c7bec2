"""A small process that outlives the supervisor by a moment: nothing the supervisor started survives its death.

The supervisor writes `+<group>` and `-<group>` lines into a pipe as process groups come and go. However it ends, even
by kill -9, the pipe ends with it, and the groups that are left are killed.
"""

from __future__ import annotations

import contextlib
import os
import signal

import setproctitle


class Undertaker:
    """The supervisor's end. Make it before any thread is started: it forks."""

    def __init__(self) -> None:
        read_end, self._pipe = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._pipe)
            wait_and_bury(read_end)
        os.close(read_end)

    def watch(self, group: int) -> None:
        """Kill this process group should the supervisor die."""
        self._write(f"+{group}\n")

    def forget(self, group: int) -> None:
        """The group is gone."""
        self._write(f"-{group}\n")

    def close(self) -> None:
        """End it; what is still watched is killed."""
        os.close(self._pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _write(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # killed by somebody: the supervisor goes on without it
            os.write(self._pipe, line.encode())


def wait_and_bury(pipe: int) -> None:
    """Read the pipe to its end, kill the groups that are left, and end the process; it never returns.

    Leaves no trace in the terminal: own session, no output, deaf to the signals of a stop.
    """
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        setproctitle.setproctitle("notify undertaker")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        groups: set[int] = set()
        with os.fdopen(pipe) as lines:
            for line in lines:
                (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
        for group in groups:
            kill_group(group)
    finally:
        os._exit(0)  # the supervisor's clean-up is not ours to run


def kill_group(group: int) -> None:
    """SIGKILL to every process of the group; none is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
