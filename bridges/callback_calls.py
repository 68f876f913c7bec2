"""Calls of receivers that are under way, and which receiver may be called now: one that is slow or dead is held apart.

A receiver gets a quarter of the threads at most, and the last quarter is for those that have no call under way. One
that fails is left alone for a growing pause, then tried with a single call: a circuit breaker of this process alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from msgspec import Struct

from app.domain.breaker import CLOSED, BreakerPolicy
from app.domain.callback import Callback, CallbackReceiver
from app.domain.errors import DeliveryError, InDoubtError, ProviderTimeoutError, ThrottledError
from app.domain.ports import BreakerState, CallbackCaller

#: First and longest pause of a receiver that fails, seconds.
_PAUSE_S: Final = 5.0
_PAUSE_CAP_S: Final = 300.0
#: What a call counts that ended by the clock: it held a thread for as long.
_TIMEOUT_POINTS: Final = 3
#: A receiver's part of the threads, and what is kept for those that have none.
_PART: Final = 4


class Ended(Struct, frozen=True, kw_only=True):
    """A call that has ended. `error` is None where the callback was taken."""

    receiver: CallbackReceiver
    callback: Callback
    error: DeliveryError | None
    took_s: float


@dataclasses.dataclass(slots=True)
class _Standing:
    """What is known of one receiver. `points` are failures in a row."""

    under_way: int = 0
    points: int = 0
    breaker: BreakerState = CLOSED

    def room(self, most: int, now_ms: int) -> int:
        """How many more calls it may get."""
        if self.breaker == CLOSED:
            return most - self.under_way
        return 1 - self.under_way if self.breaker.open_until_ms <= now_ms else 0


class CallbackCalls:
    """For one thread, which starts calls and takes what came of them. `now_ms` is of a clock that is never set back.

    A pause begins with so many `failures` in a row.
    """

    def __init__(self, caller: CallbackCaller, *, threads: int, failures: int) -> None:
        self._caller = caller
        self._threads = threads
        self._most = max(1, threads // _PART)
        self._policy = BreakerPolicy(failures=failures, open_s=_PAUSE_S, cap_s=_PAUSE_CAP_S)
        self._pool = ThreadPoolExecutor(threads, "callback")
        self._running: dict[Future[tuple[DeliveryError | None, float]], tuple[CallbackReceiver, Callback]] = {}
        self._standings: dict[str, _Standing] = {}

    @property
    def are_under_way(self) -> bool:
        """Whether there are any."""
        return bool(self._running)

    def shares(self, key_ids: Sequence[str], now_ms: int) -> dict[str, int]:
        """How many calls may begin now for each of these keys, who comes first first; those that get none left out."""
        free = self._threads - len(self._running)
        kept = self._threads // _PART
        shares: dict[str, int] = {}
        for key_id in key_ids:
            standing = self._standings.get(key_id, _Standing())
            share = min(standing.room(self._most, now_ms), free - kept)
            if not standing.under_way and free and standing.room(1, now_ms):
                share = max(share, 1)
            if share > 0:
                shares[key_id] = share
                free -= share
        return shares

    def start(self, receiver: CallbackReceiver, callback: Callback) -> None:
        """Begin a call."""
        self._standings.setdefault(receiver.key_id, _Standing()).under_way += 1
        self._running[self._pool.submit(self._call, receiver, callback)] = (receiver, callback)

    def ended(self, wait_s: float, now_ms: int) -> list[Ended]:
        """Calls that have ended, waiting for a first one where some are under way."""
        if not self._running:
            return []
        done, _ = wait(self._running, wait_s, FIRST_COMPLETED)
        return [self._end(future, now_ms) for future in done]

    def close(self, now_ms: int) -> list[Ended]:
        """Wait for those under way, which their time-out bounds; how they ended."""
        self._pool.shutdown()
        ended = [self._end(future, now_ms) for future in list(self._running)]
        self._caller.close()
        return ended

    def _call(self, receiver: CallbackReceiver, callback: Callback) -> tuple[DeliveryError | None, float]:
        started_s = time.monotonic()
        return self._caller.call(receiver, callback), time.monotonic() - started_s

    def _end(self, future: Future[tuple[DeliveryError | None, float]], now_ms: int) -> Ended:
        receiver, callback = self._running.pop(future)
        error, took_s = future.result()
        standing = self._standings[receiver.key_id]
        standing.under_way -= 1
        self._note(standing, error, now_ms)
        if standing == _Standing():
            del self._standings[receiver.key_id]  # as one that was never called
        return Ended(receiver=receiver, callback=callback, error=error, took_s=took_s)

    def _note(self, standing: _Standing, error: DeliveryError | None, now_ms: int) -> None:
        if error is None:
            standing.breaker = self._policy.after_success(standing.breaker, now_ms)
            standing.points = 0
            return
        standing.points += _TIMEOUT_POINTS if isinstance(error, (ProviderTimeoutError, InDoubtError)) else 1
        standing.breaker = self._policy.after_failure(standing.breaker, standing.points, now_ms)
        if isinstance(error, ThrottledError):
            until_ms = now_ms + round(error.retry_after_s * 1000)
            level = max(1, standing.breaker.level)
            standing.breaker = BreakerState(open_until_ms=max(until_ms, standing.breaker.open_until_ms), level=level)
