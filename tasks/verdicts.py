"""Making verdicts, the same way in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.batch import Item, Verdict
from app.domain.codec import decode
from app.domain.outcome import Reason, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domain.outcome import OpenReason
    from tasks.context import StepContext


def final(context: StepContext, status: Status, reason: str = "", detail: str = "") -> Verdict:
    """A final verdict, now."""
    return Verdict(status=status, reason=reason, detail=detail, at_ms=context.now_ms())


def noted(item: Item, verdict: str, context: StepContext) -> Verdict:
    """The verdict (JSON) that the claims have: a provider's answer, or a client's cancelling.

    Cancelled where an earlier call may have got through, nobody can say that it was stopped.
    """
    found = decode(verdict, Verdict)
    found.at_ms = found.at_ms or context.now_ms()
    if found.status is Status.CANCELLED and item.may_have_been_sent:
        return final(context, Status.UNKNOWN, Reason.IN_DOUBT, "cancelled when a call was in doubt")
    return found


def leave_open(items: Iterable[Item], reason: OpenReason) -> None:
    """These are not done in this copy: they will be sent again."""
    for item in items:
        item.verdict = Verdict(open=reason)
