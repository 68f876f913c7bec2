"""Taking a notification back: stop what has not begun, and find out what became of each delivery.

The key in Redis comes first: from then on no provider call begins. What a worker has, the worker records; what is
parked is recorded here, its outcome before its row goes. If this process dies in between, the row comes back to its
lane, and the worker finds the key.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import structlog
from msgspec import Struct

from app.domain.catalogue import Catalogue
from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.event import Event
from app.domain.event_rules import MAX_AHEAD_DAYS
from app.domain.ids import is_ours
from app.domain.outcome import Outcome, Status
from app.domain.ports import Cancels, History, NotificationRecord, OutcomePublisher, ParkedStore
from app.http.notification_view import DeliveryView, notification_view

_log = structlog.get_logger()

_LOOK_S = 0.05
#: How long a row stays with who cancels it: enough for the ack; then the scheduler may have it.
_LEASE_MS = 15_000
_ACK_S = 5.0
#: How much longer than its expiry a notification stays cancelled: clocks differ, and catalogues change.
_MARGIN_S = 24 * 3600

Result = Literal["cancelled", "too_late", "pending"]


class CancelledDelivery(Struct, frozen=True, kw_only=True):
    """What cancelling did to one delivery: stopped it, came too late, or cannot be told yet."""

    id: str
    channel: str
    result: Result
    status: Status
    reason: str


class Cancellation(Struct, frozen=True, kw_only=True):
    """What cancelling did. `pending` while one delivery is, or while nothing is known of them; all are stopped then."""

    id: str
    result: Result
    deliveries: list[CancelledDelivery]


class Canceller:
    """Cancels, and waits up to `wait_s` for what workers have to tell. Safe between threads.

    At most `waiters` wait at a time; who comes then is told at once what is known: waiting threads take no events in.
    """

    def __init__(
        self,
        *,
        secret: bytes,
        catalogue: Catalogue,
        cancels: Cancels,
        parked: ParkedStore,
        outcomes: OutcomePublisher,
        history: History,
        wait_s: float,
        waiters: int = 1,
    ) -> None:
        self._secret = secret
        self._catalogue = catalogue
        self._cancels = cancels
        self._parked = parked
        self._outcomes = outcomes
        self._history = history
        self._wait_s = wait_s
        self._waiters = threading.BoundedSemaphore(waiters)

    def cancel(self, notification_id: str) -> Cancellation | None:
        """What became of it; None for an id that never was. Repeating it is harmless.

        Raises StoreUnavailableError where Redis is away: nothing is promised then. Without the history, or SQL, or
        Kafka, all is stopped as well, and more is pending.
        """
        is_known = is_ours(notification_id, self._secret)
        record = self._look(notification_id, may_fail=is_known)
        if record is None and not is_known:
            return None
        may_wait = self._waiters.acquire(blocking=False)
        try:
            return self._see_to_it(notification_id, record, self._wait_s if may_wait else 0.0)
        finally:
            if may_wait:
                self._waiters.release()

    def _see_to_it(self, notification_id: str, record: NotificationRecord | None, wait_s: float) -> Cancellation:
        """Stop what has not begun, again and again, until nothing is pending or the time is over."""
        told: dict[str, Outcome] = {}
        found = self._results(notification_id, record, told)
        deadline = time.monotonic() + wait_s
        while found.result == "pending":
            told |= self._stop(found, record)
            record = self._look(notification_id, may_fail=True)
            found = self._results(notification_id, record, told)
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_S if found.result == "pending" else 0)
        return found

    def _stop(self, found: Cancellation, record: NotificationRecord | None) -> Mapping[str, Outcome]:
        """No call begins from now on; what was parked is recorded as cancelled."""
        waiting = [one.id for one in found.deliveries if one.result == "pending"]
        free = self._cancels.cancel(found.id, waiting, life_s=self._life_s(record))
        return self._withdraw([one for one, is_free in zip(waiting, free, strict=True) if is_free])

    def _look(self, notification_id: str, *, may_fail: bool) -> NotificationRecord | None:
        try:
            return self._history.notification(notification_id)
        except StoreUnavailableError:
            if not may_fail:
                raise
            _log.warning("cancel_without_history", notification_id=notification_id)
            return None

    def _results(
        self, notification_id: str, record: NotificationRecord | None, told: Mapping[str, Outcome]
    ) -> Cancellation:
        deliveries = [] if record is None else notification_view(record, self._catalogue).deliveries
        shown = [_result(one, told.get(one.id)) for one in deliveries]
        results = {one.result for one in shown}
        whole: Result = "too_late"
        if "pending" in results or record is None:
            whole = "pending"
        elif "cancelled" in results:
            whole = "cancelled"
        return Cancellation(id=notification_id, result=whole, deliveries=shown)

    def _life_s(self, record: NotificationRecord | None) -> float:
        """Until it has expired for sure; of one that nothing is known of: as long as any can take."""
        try:
            event = msgspec.convert(record.event if record else None, Event)
        except msgspec.ValidationError:
            return MAX_AHEAD_DAYS * 24 * 3600 + self._catalogue.max_ttl_s + _MARGIN_S
        accepted_at_ms = record.accepted_at_ms if record else 0
        return max(0.0, (self._catalogue.expires_at_ms(event, accepted_at_ms) - now_ms()) / 1000) + _MARGIN_S

    def _withdraw(self, delivery_ids: Sequence[str]) -> Mapping[str, Outcome]:
        """Record what is parked as cancelled, then remove its rows; the outcomes that are durable."""
        if not delivery_ids:
            return {}
        try:
            return self._record(delivery_ids)
        except StoreUnavailableError:
            _log.warning("cancel_without_parked", deliveries=len(delivery_ids))
            return {}

    def _record(self, delivery_ids: Sequence[str]) -> Mapping[str, Outcome]:
        now, owner = now_ms(), uuid.uuid4().hex
        rows = self._parked.lease_of(delivery_ids, now_ms=now, lease_until_ms=now + _LEASE_MS, owner=owner)
        outcomes = [row.cancelled(now) for row in rows]
        if not rows or not self._outcomes.publish(outcomes, _ACK_S):
            return {}
        try:
            self._parked.remove([(row.delivery.id, row.delivery.pass_no) for row in rows], owner)
        except StoreUnavailableError:
            _log.warning("cancelled_rows_left", rows=len(rows))
        return {outcome.delivery_id: outcome for outcome in outcomes}


def _result(delivery: DeliveryView, told: Outcome | None) -> CancelledDelivery:
    """By the history, and by what was recorded a moment ago and may not have got there."""
    status, reason = delivery.status, delivery.reason
    if told is not None and not status.is_final:
        status, reason = told.status, told.reason
    result: Result = "too_late" if status.is_final else "pending"
    if status is Status.CANCELLED:
        result = "cancelled"
    return CancelledDelivery(id=delivery.id, channel=delivery.channel, result=result, status=status, reason=reason)
