"""outcomes -> senders: keeps a callback for each outcome that its sender wants to hear of, and calls until it is taken.

A callback is a row in SQL before the offset of its outcome moves, and stays one until it is taken or given up. So a
receiver that is slow or dead holds up neither outcomes nor other receivers, and a killed process loses nothing: what it
had taken over is due again a while later. Order is not kept. Callbacks have no outcomes, so none is told of another.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Sequence
from typing import Final

import structlog

from app.domain.callback import Callback, CallbackReceiver, Told, callback_of, next_try_ms
from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.errors import DeadAddressError, StoreUnavailableError, ThrottledError, UndecodableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.meter import METER
from app.domain.metric_catalogue import CALLBACK_CALL, CALLBACKS_DROPPED, RECEIVERS_DISABLED
from app.domain.ports import CallbackReceivers, CallbackResult
from app.settings import Settings
from bridges.callback_calls import CallbackCalls, Ended
from infrastructure import wiring
from infrastructure.kafka.groups import CALLBACKS_GROUP
from infrastructure.kafka.kept_reader import KeptReader
from infrastructure.kafka.records import Record

_log = structlog.get_logger()

_READ_MAX: Final = 500
_IDLE_S: Final = 0.1
#: Between two looks for what is due, where nothing happens that makes one worth while.
_LOOK_MS: Final = 1000
#: How long a callback that was taken over has for its call to end and to be settled, in time-outs of a call.
_LEASE_TIMEOUTS: Final = 4
#: Between two looks at what waits for whom.
_TIDY_S: Final = 60.0
_DROP_MAX: Final = 5000


class Callbacks:
    """The loop. Several may run: each reads its partitions, and calls for whatever is due."""

    name = "callbacks"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._receivers = wiring.callback_receivers(settings)
        self._pending = wiring.pending_callbacks(settings)
        self._calls = CallbackCalls(
            wiring.callback_caller(settings), threads=settings.callback_threads, failures=settings.breaker_failures
        )
        self._reader = KeptReader(settings, CALLBACKS_GROUP, [OUTCOMES_TOPIC])
        self._ended: list[Ended] = []
        self._has_come = False
        self._look_at_ms = 0
        self._tidy_at_s = 0.0

    def is_ready(self) -> bool:
        """Whether the group has given it partitions."""
        return bool(self._reader.assigned)

    def turn(self) -> None:
        """Note how calls ended, begin those that are due, keep what comes: also while Kafka, or SQL, is away."""
        self._ended += self._calls.ended(0.0 if self._has_come else _IDLE_S, _steady_ms())
        try:
            self._settle()
            self._begin()
            self._tidy()
        finally:
            self._has_come = self._keep(0.0 if self._calls.are_under_way else _IDLE_S)

    def close(self) -> None:
        """Wait for calls under way, and leave the group; what cannot be settled any more is called again."""
        self._ended += self._calls.close(_steady_ms())
        with contextlib.suppress(StoreUnavailableError):
            self._settle()
        self._reader.close()

    # outcomes

    def _keep(self, wait_s: float) -> bool:
        """One read, one write, one commit; whether anything came."""
        records = self._reader.read_kept(_READ_MAX, wait_s)
        if not records:
            return False
        callbacks = callbacks_of(records, self._receivers)
        if callbacks:
            self._pending.add(callbacks)
            self._look_at_ms = 0
        self._reader.commit_kept()
        return True

    # calls

    def _begin(self) -> None:
        """Take over what is due, as much as there is room for, and call. Who has waited longest comes first."""
        if _steady_ms() < self._look_at_ms:
            return
        now = now_ms()
        due = sorted(self._pending.due(), key=lambda one: one[1])
        receivers = {receiver.key_id: receiver for receiver, due_at_ms in due if due_at_ms <= now}
        lease_ms = round(_LEASE_TIMEOUTS * self._settings.callback_timeout_s * 1000)
        shares = self._calls.shares(list(receivers), _steady_ms())
        for callback in self._pending.take(shares, now_ms=now, again_at_ms=now + lease_ms):
            self._calls.start(receivers[callback.key_id], callback)
        waits_ms = [due_at_ms - now for _, due_at_ms in due if due_at_ms > now]
        self._look_at_ms = _steady_ms() + min([_LOOK_MS, *waits_ms])

    def _settle(self) -> None:
        """Note what came of calls. Raises StoreUnavailableError: it is noted with the next ones."""
        if not self._ended:
            return
        now = now_ms()
        self._disable_some(now)
        results = [self._result_of(one, now) for one in self._ended]
        self._pending.settle(results, now)
        self._count(results)
        self._ended = []
        self._look_at_ms = 0

    def _result_of(self, one: Ended, now: int) -> CallbackResult:
        if one.error is None:
            return CallbackResult(callback=one.callback, is_taken=True)
        again_at_ms = next_try_ms(
            one.callback,
            now_ms=now,
            longest_s=self._settings.callback_retry_s,
            asked_s=one.error.retry_after_s if isinstance(one.error, ThrottledError) else 0.0,
            random=random.random,
        )
        return CallbackResult(callback=one.callback, again_at_ms=again_at_ms or 0, error=one.error.detail)

    def _disable_some(self, now: int) -> None:
        """Receivers that want no more, and those that have failed for too long."""
        taking = {one.receiver.key_id for one in self._ended if one.error is None}
        for one in self._ended:
            since_ms = one.receiver.failing_since_ms or now
            if isinstance(one.error, DeadAddressError):
                self._disable(one.receiver, now, "gone")
            elif one.receiver.key_id not in taking and now - since_ms >= self._settings.callback_retry_s * 1000:
                self._disable(one.receiver, now, "failing")

    def _disable(self, receiver: CallbackReceiver, now: int, why: str) -> None:
        if self._receivers.disable(receiver, now, why):
            _log.warning("callbacks_disabled", key=receiver.key_id, why=why)
            METER.count(RECEIVERS_DISABLED, (why,))
            self._tidy_at_s = 0.0

    def _count(self, results: Sequence[CallbackResult]) -> None:
        for one, result in zip(self._ended, results, strict=True):
            METER.observe(CALLBACK_CALL, one.took_s, (_word(one),))
            if not result.is_taken and not result.again_at_ms:
                _log.warning("callback_given_up", key=one.callback.key_id, callback=one.callback.id)
                METER.count(CALLBACKS_DROPPED, ("given_up",))

    # what waits

    def _tidy(self) -> None:
        """Drop what waits for nobody any more, and disable a receiver for which too much waits."""
        if time.monotonic() < self._tidy_at_s:
            return
        self._tidy_at_s = time.monotonic() + _TIDY_S
        receivers = {one.key_id: one for one in self._receivers.list()}
        for key_id, waiting in self._pending.counts().items():
            receiver = receivers.get(key_id)
            if receiver is None:
                self._drop(key_id, "removed")
            elif receiver.disabled_at_ms:
                self._drop(key_id, "disabled")
            elif waiting > self._settings.callback_waiting_max:
                self._disable(receiver, now_ms(), "overfull")

    def _drop(self, key_id: str, why: str) -> None:
        dropped = self._pending.drop(key_id, _DROP_MAX)
        if dropped == _DROP_MAX:
            self._tidy_at_s = 0.0  # there is more
        METER.count(CALLBACKS_DROPPED, (why,), dropped)
        _log.info("callbacks_dropped", key=key_id, why=why, callbacks=dropped)


def callbacks_of(records: Sequence[Record], receivers: CallbackReceivers) -> list[Callback]:
    """What senders are to be told of these outcomes. Raises StoreUnavailableError.

    Receivers are read anew, so that none is missed that was there before the outcome.
    """
    told = [one for record in records if (one := _told(record)) is not None and one.key_id]
    found = receivers.find({one.key_id for one in told})
    live = {key_id: one.since_ms for key_id, one in found.items() if not one.disabled_at_ms}
    wanted = [one for one in told if one.key_id in live and one.at_ms >= live[one.key_id]]
    now = now_ms()
    return [callback for one in wanted if (callback := callback_of(one, now)) is not None]


def _told(record: Record) -> Told | None:
    try:
        return decode(record.value, Told)
    except UndecodableError:
        return None  # the tracker logs it


def _steady_ms() -> int:
    """For waits, which must not grow where the clock is set back."""
    return time.monotonic_ns() // 1_000_000


def _word(one: Ended) -> str:
    if one.error is None:
        return "taken"
    if isinstance(one.error, DeadAddressError):
        return "gone"
    return "throttled" if isinstance(one.error, ThrottledError) else "failed"
