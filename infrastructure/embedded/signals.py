"""Signals that end the set, counted, so that the second one can mean more than the first."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Final, Self

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """While entered, `count` is how many stop signals came; `wakeup` is readable after each, and when a child ends."""

    def __init__(self) -> None:
        self.count = 0
        self.wakeup, self._write_end = os.pipe()

    def __enter__(self) -> Self:
        for descriptor in (self.wakeup, self._write_end):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._note) for number in (*STOP_SIGNALS, signal.SIGCHLD)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(self.wakeup)
        os.close(self._write_end)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.count += 1
