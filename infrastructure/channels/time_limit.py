"""A limit on how long a piece of code may run, by SIGALRM."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_SOON_S = 0.001  # setitimer takes 0 for "never"


class OutOfTimeError(BaseException):
    """Not an Exception, so that the limited code cannot swallow it."""


def limited(timeout_s: float, call: Callable[[], T]) -> T:
    """The call's result. Raises OutOfTimeError between two bytecodes once the time is up.

    In the main thread only; in others the call simply runs. A handler and a timer that were set before, an outer
    `limited` among them, are as before afterwards; a timer that would have rung meanwhile rings then.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    is_running = True

    def ring(signum: int, frame: FrameType | None) -> None:
        if is_running:
            raise OutOfTimeError

    previous_handler = signal.signal(signal.SIGALRM, ring)
    started_at_s = time.monotonic()
    previous_s, previous_interval_s = signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        try:
            return call()
        finally:
            is_running = False  # a bell between here and the timer's end is ignored; one just before ends in the outer
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous_handler)
        if previous_s:
            left_s = previous_s - (time.monotonic() - started_at_s)
            signal.setitimer(signal.ITIMER_REAL, max(left_s, _SOON_S), previous_interval_s)
