"""What a provider's report means for the delivery that it is about, pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import structs

from app.domain.forgetting import without_content
from app.domain.outcome import Outcome, Reason, Status
from app.domain.ports import NotificationRecord
from app.domain.report import Report, ReportKind
from app.domain.timeline import current

#: What each says of the delivery; the others are about the address alone.
_OUTCOMES: Final[Mapping[ReportKind, tuple[Status, str]]] = {
    ReportKind.DELIVERED: (Status.DELIVERED, ""),
    ReportKind.HARD_BOUNCE: (Status.BOUNCED, Reason.HARD_BOUNCE),
    ReportKind.SOFT_BOUNCE: (Status.BOUNCED, Reason.SOFT_BOUNCE),
    ReportKind.REFUSED: (Status.BOUNCED, Reason.PROVIDER_REJECTED),
    ReportKind.COMPLAINT: (Status.COMPLAINED, ""),
}
_REPORTED: Final = {status for status, _ in _OUTCOMES.values()}


def concerned(outcomes: Iterable[Outcome], report: Report) -> Outcome | None:
    """The delivery's outcome that the report is about: of the same message, else where it stands; None: none yet.

    A worker's, where there is one: a report that comes late is about the call, and not about other reports.
    """
    own = [one for one in outcomes if one.delivery_id == report.delivery_id]
    same = [one for one in own if report.provider_id and one.provider_id == report.provider_id] or own
    of_workers = [one for one in same if one.status not in _REPORTED]
    return current(of_workers or same) if own else None


def reported(report: Report, provider: str, record: NotificationRecord, before: Outcome, now_ms: int) -> Outcome:
    """What is recorded of a report that is about a delivery: in the pass of the outcome `before`, and not before it.

    Of a forgotten user's the bare facts.
    """
    status, reason = _OUTCOMES[report.kind]
    outcome = structs.replace(
        before,
        user_id=record.user_id,
        event_type=record.event_type,
        accepted_at_ms=record.accepted_at_ms,
        status=status,
        reason=reason,
        detail=report.detail,
        provider=provider,
        provider_id=report.provider_id,
        at_ms=max(before.at_ms, min(report.at_ms, now_ms)),
        until_at_ms=0,
        event=None,
        key_id=report.key_id,  # the history does not have it
    )
    return outcome if record.user_id else without_content(outcome)


def is_repeated(outcome: Outcome, outcomes: Iterable[Outcome]) -> bool:
    """Whether the history has it: the same status of the same delivery, pass and attempt."""
    return any(
        (one.delivery_id, one.pass_no, one.attempt, one.status)
        == (outcome.delivery_id, outcome.pass_no, outcome.attempt, outcome.status)
        for one in outcomes
    )
