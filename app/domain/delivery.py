"""One event on one channel to one user: what is validated, limited, sent and recorded."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from app.domain.event import Event
from app.domain.lane import Lane, Priority
from app.domain.outcome import Outcome, Reason, Status
from app.domain.target import TargetResult

RECORD_VERSION = 1


class Delivery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record on a lane topic. Times are Unix milliseconds.

    `attempt` counts provider calls over all passes, `retries` the retry budget spent; a delivery that was parked for
    a user limit carries the slot it took (`slot_at_ms`), so that nothing charges twice. `is_in_doubt`: a call of an
    earlier pass was never answered.
    `targets`: of a delivery to devices, what the passes before have heard of each, and which are open.
    `traceparent` is the trace it belongs to; records of earlier versions have none. `key_id` is the API key of who
    sent the event (empty: none was asked for).
    """

    v: int = RECORD_VERSION
    id: str
    notification_id: str
    channel: str
    priority: Priority
    event: Event
    accepted_at_ms: int
    routed_at_ms: int
    expires_at_ms: int
    pass_no: int = 0
    attempt: int = 0
    retries: int = 0
    slot_at_ms: int = 0
    is_in_doubt: bool = False
    traceparent: str = ""
    key_id: str = ""
    targets: tuple[TargetResult, ...] = ()

    @property
    def claimable(self) -> tuple[str, int, str]:
        """What its claim is asked for by: id, pass and notification id."""
        return (self.id, self.pass_no, self.notification_id)

    @property
    def lane(self) -> Lane:
        """The lane this delivery travels on."""
        return Lane(self.priority, self.channel)

    def outcome(self, *, status: Status, reason: str, at_ms: int, attempt: int | None = None) -> Outcome:
        """What is recorded of the delivery in this pass; `attempt` where more calls were made than it carries."""
        return Outcome(
            notification_id=self.notification_id,
            delivery_id=self.id,
            user_id=self.event.user_id,
            event_type=self.event.event_type,
            channel=self.channel,
            priority=self.priority,
            pass_no=self.pass_no,
            attempt=self.attempt if attempt is None else attempt,
            status=status,
            reason=reason,
            at_ms=at_ms,
            accepted_at_ms=self.accepted_at_ms,
            routed_at_ms=self.routed_at_ms,
            event=self.event,
            key_id=self.key_id,
        )

    def cancelled(self, reason: Reason, at_ms: int) -> Outcome:
        """What is recorded where it is called off; where an earlier call may have got through, nobody knows.

        What reached one device is sent: only the others were called off.
        """
        status = Status.CANCELLED
        if any(target.status is Status.SENT for target in self.targets):
            status = Status.SENT
        elif self.is_in_doubt:
            status, reason = Status.UNKNOWN, Reason.IN_DOUBT
        return self.outcome(status=status, reason=reason, at_ms=at_ms)

    def next_pass(self) -> Delivery:
        """The delivery as it re-enters its lane after having been parked."""
        return structs.replace(self, pass_no=self.pass_no + 1)


class DeliveryHead(Struct, frozen=True):
    """As much of a lane record as can be told of one that this version does not understand; `accepted_at_ms` unread."""

    id: str
    notification_id: str = ""
    v: int = RECORD_VERSION
    accepted_at_ms: Any = None


class Parked(Struct, frozen=True, kw_only=True):
    """A row of the parked table: a delivery that waits for a time. Key: delivery id and pass."""

    delivery: Delivery
    due_at_ms: int
    reason: str

    def outcome(self, at_ms: int) -> Outcome:
        """What is recorded of its parking where no worker did it."""
        parked = self.delivery.outcome(status=Status.PARKED, reason=self.reason, at_ms=at_ms)
        return structs.replace(parked, until_at_ms=self.due_at_ms)

    def cancelled(self, at_ms: int) -> Outcome:
        """What is recorded where a client takes it back."""
        return self.delivery.cancelled(Reason.CANCELLED_BY_CLIENT, at_ms)
