"""A limit on the processor time of a piece of code: by SIGPROF, and by tracing in threads that get no signals.

Processor time, not the clock: a process that stands still, or waits for its turn on a busy machine, is not to blame.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias, TypeVar

T = TypeVar("T")
TraceFunction: TypeAlias = Callable[[FrameType, str, object], "TraceFunction | None"]

_SOON_S = 0.001  # setitimer takes 0 for "never"
#: It rings until it is heard.
_AGAIN_S = 0.01


class OutOfTimeError(BaseException):
    """Not an Exception, so that the limited code cannot swallow it."""


def limited(timeout_s: float, call: Callable[[], T]) -> T:
    """The call's result. Raises OutOfTimeError between two bytecodes once the processor time is used up.

    In threads other than the main one between two lines of Python, which then run several times slower. In the main
    one the time of all the process's threads counts; a handler and a timer that were set before, an outer `limited`
    among them, are as before afterwards; a timer that would have rung meanwhile rings then.
    """
    if threading.current_thread() is not threading.main_thread():
        return _traced(timeout_s, call)
    is_running = True

    def ring(signum: int, frame: FrameType | None) -> None:
        if is_running and not _is_destroying(frame):
            raise OutOfTimeError

    previous_handler = signal.signal(signal.SIGPROF, ring)
    started_at_s = time.process_time()
    previous_s, previous_interval_s = signal.setitimer(signal.ITIMER_PROF, timeout_s, _AGAIN_S)
    try:
        try:
            return call()
        finally:
            is_running = False  # a bell between here and the timer's end is ignored; one just before ends in the outer
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous_handler)
        if previous_s:
            left_s = previous_s - (time.process_time() - started_at_s)
            signal.setitimer(signal.ITIMER_PROF, max(left_s, _SOON_S), previous_interval_s)


def _traced(timeout_s: float, call: Callable[[], T]) -> T:
    """The same by the thread's own time, looked at on every line."""
    until_s = time.thread_time() + timeout_s

    def look(frame: FrameType, _event: str, _argument: object) -> TraceFunction:
        if time.thread_time() > until_s and not _is_destroying(frame):
            raise OutOfTimeError
        return look

    previous = sys.gettrace()
    sys.settrace(look)
    try:
        return call()
    finally:
        sys.settrace(previous)


def _is_destroying(frame: FrameType | None) -> bool:
    """Whether an object is being destroyed, whoever it belongs to: what is raised there, Python tells and drops."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
