"""Taking a provider's report: recorded with its delivery, minded with its address. All of it may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.ids import id_time_ms, is_ours
from app.domain.masking import masked
from app.domain.outcome import Outcome
from app.domain.ports import History, NotificationRecord, OutcomePublisher, SoftBounces, Suppressions
from app.domain.report import Report, ReportKind
from app.domain.report_rules import concerned, is_repeated, reported
from app.domain.statistics import DAY_MS
from app.domain.suppression import Destination, SuppressionReason

Taken = Literal["recorded", "repeated", "unknown", "stopped", "started"]

#: How long after its acceptance a delivery may be new to the history: outcomes wait in Kafka while that is away.
_LATE_MS: Final = DAY_MS
_ACK_S: Final = 8.0
_SUPPRESSING: Final[Mapping[ReportKind, SuppressionReason]] = {
    ReportKind.HARD_BOUNCE: SuppressionReason.HARD_BOUNCE,
    ReportKind.COMPLAINT: SuppressionReason.COMPLAINT,
}


class NotYetKnownError(StoreUnavailableError):
    """The report came before the outcome of its delivery was in the history: it is to be repeated."""


class SoftBounceLimit(Struct, frozen=True):
    """So many soft bounces within so many seconds, with nothing delivered between, and the address is suppressed."""

    count: int
    period_s: float


class TakeReport:
    """The use case. `secret` knows ids of ours."""

    def __init__(
        self,
        *,
        secret: bytes,
        history: History,
        outcomes: OutcomePublisher,
        suppressions: Suppressions,
        soft_bounces: SoftBounces,
        limit: SoftBounceLimit,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._secret = secret
        self._history = history
        self._outcomes = outcomes
        self._suppressions = suppressions
        self._soft_bounces = soft_bounces
        self._limit = limit
        self._now_ms = now_ms

    def take(self, provider: str, report: Report) -> Taken:
        """Mind the address first, so that nothing more goes there, then record what became of the delivery.

        `unknown`: it is about nothing of ours, and nothing was done. Raises StoreUnavailableError (NotYetKnownError
        among them): what was done stays done, and repeating does the rest.
        """
        if report.kind in (ReportKind.STOP, ReportKind.START):
            return self._answered(report)
        try:
            found = self._found(report)
        except NotYetKnownError:
            # The id is ours, and nobody knows whether the provider will come again.
            self._mind(report, "")
            raise
        if found is None:
            return "unknown"
        record, before = found
        self._mind(report, record.user_id)
        outcome = reported(report, provider, record, before, self._now_ms())
        if is_repeated(outcome, record.outcomes):
            return "repeated"
        if not self._outcomes.publish([outcome], _ACK_S):
            raise StoreUnavailableError("Kafka did not acknowledge what a provider reported")
        return "recorded"

    def _found(self, report: Report) -> tuple[NotificationRecord, Outcome] | None:
        """The notification and the outcome that the report is about."""
        if not report.notification_id or not report.delivery_id:
            return None
        record = self._history.notification(report.notification_id)
        before = None if record is None else concerned(record.outcomes, report)
        if record is not None and before is not None:
            return record, before
        accepted_at_ms = id_time_ms(report.notification_id) if record is None else record.accepted_at_ms
        is_old = accepted_at_ms is not None and self._now_ms() - accepted_at_ms > _LATE_MS
        if is_old or not is_ours(report.notification_id, self._secret):
            return None
        raise NotYetKnownError("the history has no outcome of the delivery yet")

    def _mind(self, report: Report, user_id: str) -> None:
        """What the report means for further messages to the address."""
        if not report.address:
            return
        destination = Destination(report.channel, report.address)
        at_ms = min(report.at_ms, self._now_ms())
        reason = _SUPPRESSING.get(report.kind)
        if report.kind is ReportKind.DELIVERED:
            self._soft_bounces.forgive(destination)
        elif report.kind is ReportKind.SOFT_BOUNCE:
            since_ms = at_ms - round(self._limit.period_s * 1000)
            bounces = self._soft_bounces.count(destination, report.delivery_id, at_ms=at_ms, since_ms=since_ms)
            reason = SuppressionReason.SOFT_BOUNCES if bounces >= self._limit.count else None
        if reason is not None:
            shown = masked(report.address) if user_id else ""
            self._suppressions.suppress(destination, reason, since_ms=at_ms, user_id=user_id, shown=shown)

    def _answered(self, report: Report) -> Taken:
        """What a person has answered, whichever message that was about."""
        destination, at_ms = Destination(report.channel, report.address), self._now_ms()
        if report.kind is ReportKind.START:
            self._suppressions.lift(destination, at_ms, [SuppressionReason.STOP])
            return "started"
        shown = masked(report.address)
        self._suppressions.suppress(destination, SuppressionReason.STOP, since_ms=at_ms, shown=shown)
        return "stopped"
