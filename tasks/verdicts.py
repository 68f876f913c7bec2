"""Making verdicts, the same way in every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.batch import Item, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domain.outcome import OpenReason, Status
    from tasks.context import StepContext


def final(context: StepContext, status: Status, reason: str = "", detail: str = "") -> Verdict:
    """A final verdict, now."""
    return Verdict(status=status, reason=reason, detail=detail, at_ms=context.now_ms())


def leave_open(items: Iterable[Item], reason: OpenReason) -> None:
    """These are not done in this copy: they will be sent again."""
    for item in items:
        item.verdict = Verdict(open=reason)
