"""Where a delivery and a notification stand, computed from outcomes on read.

Outcomes are only ever appended, by several writers, late and repeated. So the result must not depend on the order or
number in which they are found:

A **delivery** stands where its strongest outcome says: the highest pass, in it the highest rank, then the latest.
Ranks within a pass: accepted < parked < unknown < suppressed, expired, cancelled < sent < delivered < failed < bounced
< complained. So news resolves what was unknown, what was sent stays sent where another copy gave up, and reports of
providers count in whatever order they come: a mail may bounce after it was said to be delivered.

A **notification** stands where all its deliveries together do:

1. While one is not final: `parked` where one is parked, else `accepted`.
2. All final: `delivered` where all that got out were confirmed, `sent` where at least one got out; `complained` where
   that is said of all that did.
3. Nothing got out: the most telling of `failed`, `bounced`, `unknown`, `expired`, `cancelled`, `suppressed`.

An outcome of the event as a whole (no delivery id) counts only while there is no delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from app.domain.outcome import Outcome, Status
from app.domain.ports import NotificationRecord

#: How strong each status is within a pass.
RANKS = {
    Status.ACCEPTED: 0,
    Status.PARKED: 1,
    Status.UNKNOWN: 2,
    Status.SUPPRESSED: 3,
    Status.EXPIRED: 3,
    Status.CANCELLED: 3,
    Status.SENT: 4,
    Status.DELIVERED: 5,
    Status.FAILED: 6,
    Status.BOUNCED: 7,
    Status.COMPLAINED: 8,
}
_MOST_TELLING = (
    *(Status.SENT, Status.DELIVERED, Status.COMPLAINED),
    *(Status.FAILED, Status.BOUNCED, Status.UNKNOWN, Status.EXPIRED, Status.CANCELLED, Status.SUPPRESSED),
)


class Step(Struct, frozen=True, kw_only=True):
    """One outcome as a timeline shows it."""

    status: Status
    reason: str
    detail: str
    pass_no: int
    attempt: int
    provider: str
    provider_id: str
    at_ms: int
    until_at_ms: int


class DeliveryState(Struct, frozen=True, kw_only=True):
    """Where one delivery stands, and its outcomes, oldest first. `id` is empty while nothing was heard of it."""

    id: str
    channel: str
    status: Status
    reason: str = ""
    detail: str = ""
    at_ms: int = 0
    until_at_ms: int = 0
    outcomes: list[Step] = []


class Timeline(Struct, frozen=True, kw_only=True):
    """One notification as it is shown: GET of a notification, and `show`. `outcomes` are those of the event itself."""

    id: str
    user_id: str
    event_type: str
    status: Status
    reason: str = ""
    accepted_at_ms: int
    event: Any = None
    deliveries: list[DeliveryState] = []
    outcomes: list[Step] = []


def timeline(record: NotificationRecord, channels: Sequence[str] = ()) -> Timeline:
    """All of a notification. `channels` are those it is to go out on, as far as known: silent ones are `accepted`."""
    of_event = [outcome for outcome in record.outcomes if not outcome.delivery_id]
    deliveries = delivery_states(record.outcomes)
    if not of_event:
        heard = {delivery.channel for delivery in deliveries}
        deliveries += [
            DeliveryState(id="", channel=name, status=Status.ACCEPTED) for name in channels if name not in heard
        ]
    whole = current(of_event) if of_event and not deliveries else None
    return Timeline(
        id=record.id,
        user_id=record.user_id,
        event_type=record.event_type,
        status=whole.status if whole else notification_status(delivery.status for delivery in deliveries),
        reason=whole.reason if whole else "",
        accepted_at_ms=record.accepted_at_ms,
        event=record.event,
        deliveries=deliveries,
        outcomes=_steps(of_event),
    )


def delivery_states(outcomes: Iterable[Outcome]) -> list[DeliveryState]:
    """Where each delivery stands, by channel and id."""
    by_id: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.delivery_id:
            by_id.setdefault(outcome.delivery_id, []).append(outcome)
    return sorted(map(_state, by_id.values()), key=lambda state: (state.channel, state.id))


def current(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that says where a delivery stands: of one delivery, at least one."""
    return max(outcomes, key=_strength)


def notification_status(statuses: Iterable[Status]) -> Status:
    """Where a notification stands whose deliveries stand so."""
    found = set(statuses)
    if not found or not all(status.is_final for status in found):
        return Status.PARKED if Status.PARKED in found else Status.ACCEPTED
    return next(status for status in _MOST_TELLING if status in found)


def _state(outcomes: Sequence[Outcome]) -> DeliveryState:
    strongest = current(outcomes)
    return DeliveryState(
        id=strongest.delivery_id,
        channel=strongest.channel,
        status=strongest.status,
        reason=strongest.reason,
        detail=strongest.detail,
        at_ms=strongest.at_ms,
        until_at_ms=strongest.until_at_ms,
        outcomes=_steps(outcomes),
    )


def _strength(outcome: Outcome) -> tuple[Any, ...]:
    """Pass, rank, time; what follows only settles ties, so that equal strength means equal to look at."""
    return (outcome.pass_no, RANKS[outcome.status], outcome.at_ms, *_shown(outcome))


def _steps(outcomes: Iterable[Outcome]) -> list[Step]:
    """Each different outcome once, oldest first."""
    unlike = {_shown(outcome): outcome for outcome in outcomes}
    oldest_first = sorted(
        unlike.items(), key=lambda item: (item[1].at_ms, item[1].pass_no, RANKS[item[1].status], item[0])
    )
    return [_step(outcome) for _, outcome in oldest_first]


def _shown(outcome: Outcome) -> tuple[Any, ...]:
    return tuple(getattr(outcome, name) for name in ("channel", *Step.__struct_fields__))


def _step(outcome: Outcome) -> Step:
    return Step(**{name: getattr(outcome, name) for name in Step.__struct_fields__})
