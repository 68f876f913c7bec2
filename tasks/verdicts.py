"""Making verdicts, the same way in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.batch import Item, Verdict
from app.domain.codec import decode
from app.domain.outcome import Reason, Status
from app.domain.target_rules import ended

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domain.outcome import OpenReason
    from tasks.context import StepContext

_TOLD_AS_THEY_ARE = (Reason.IN_DOUBT, Reason.POISON)


def final(context: StepContext, status: Status, reason: str = "", detail: str = "") -> Verdict:
    """A final verdict, now."""
    return Verdict(status=status, reason=reason, detail=detail, at_ms=context.now_ms())


def noted(verdict: str, context: StepContext) -> Verdict:
    """The verdict (JSON) that the claims have: a provider's answer, or a client's cancelling."""
    found = decode(verdict, Verdict)
    found.at_ms = found.at_ms or context.now_ms()
    return found


def told(item: Item, verdict: Verdict) -> Verdict:
    """What is recorded of a verdict: `unknown` where the delivery may have been sent, and is not called again.

    Whatever ended it (expired, not wanted, over a limit, cancelled), nobody can say that it was stopped. What its
    provider answers in the end stands; so does poison, which keeps its dead letter.
    """
    if item.targets:
        return _told_of_devices(item, verdict)
    is_ended_by_us = verdict.status.is_final and not verdict.provider
    if not (item.may_have_been_sent and is_ended_by_us) or verdict.reason in _TOLD_AS_THEY_ARE:
        return verdict
    detail = f"{verdict.status} when a call was in doubt: {verdict.reason}"
    return Verdict(status=Status.UNKNOWN, reason=Reason.IN_DOUBT, detail=detail, at_ms=verdict.at_ms)


def _told_of_devices(item: Item, verdict: Verdict) -> Verdict:
    """The same for a delivery to devices: what reached one of them did, whatever became of the others."""
    if not verdict.status.is_final or verdict.provider or verdict.reason == Reason.POISON:
        return verdict
    return ended(item.targets, verdict)


def leave_open(items: Iterable[Item], reason: OpenReason) -> None:
    """These are not done in this copy: they will be sent again."""
    for item in items:
        item.verdict = Verdict(open=reason)
