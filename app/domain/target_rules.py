"""What the results of a delivery's targets come to, pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.batch import Verdict
from app.domain.outcome import Reason, Status
from app.domain.target import Target, TargetResult


def result_of(target: Target, verdict: Verdict) -> TargetResult:
    """A verdict on one target, as its result."""
    return TargetResult(
        id=target.id,
        status=verdict.status,
        reason=verdict.reason,
        detail=verdict.detail,
        provider=verdict.provider,
        provider_id=verdict.provider_id,
        at_ms=verdict.at_ms,
        until_at_ms=verdict.until_at_ms,
        spends_retry=verdict.spends_retry,
        is_in_doubt=verdict.is_in_doubt,
    )


def merged(targets: Sequence[Target], now_ms: int) -> Verdict:
    """The verdict on a delivery all of whose targets have a result.

    Parked while one is open, until all that are may be called; sent where at least one took it; else unknown where
    nobody knows of one; else failed, or cancelled where that is what stopped the last.
    """
    results = [target.result for target in targets if target.result is not None]
    open_ones = [one for one in results if one.status is Status.PARKED]
    if open_ones:
        return _parked(open_ones, targets, now_ms)
    chosen = next(one for status in _STRONGEST_FIRST for one in results if one.status is status)
    reason = chosen.reason
    if len({one.reason for one in results if one.status is Status.FAILED}) > 1 and chosen.status is Status.FAILED:
        reason = Reason.PROVIDER_REJECTED
    return Verdict(
        status=chosen.status,
        reason=reason,
        detail=told(targets),
        provider=chosen.provider,
        provider_id=chosen.provider_id if len(results) == 1 else "",
        at_ms=now_ms,
    )


def ended(targets: Sequence[Target], verdict: Verdict) -> Verdict:
    """What is recorded where something else ended a delivery (expired, not wanted, cancelled): what got out, did."""
    status, reason = verdict.status, verdict.reason
    if any(_status(target) is Status.SENT for target in targets):
        status = Status.SENT
    elif any(target.is_in_doubt or _status(target) is Status.UNKNOWN for target in targets):
        status, reason = Status.UNKNOWN, Reason.IN_DOUBT
    elif reason == Reason.IN_DOUBT:
        # The claim's word for a cancelled delivery that was being called: what was in doubt is known by its targets.
        status, reason = Status.CANCELLED, Reason.CANCELLED_BY_CLIENT
    why = f"{verdict.status}: {verdict.reason}" if status is not verdict.status else verdict.detail
    # A verdict that `merged` made tells of the targets already.
    detail = "; ".join(filter(None, dict.fromkeys([why, told(targets) if _were_called(targets) else ""])))
    return Verdict(status=status, reason=reason, detail=detail, at_ms=verdict.at_ms)


def told(targets: Sequence[Target]) -> str:
    """What happened at each, by id, for the timeline. No token is in it."""
    taken = sum(_status(target) is Status.SENT for target in targets)
    each = (f"{target.id} {_said(target)}" for target in sorted(targets, key=lambda one: one.id))
    return f"{taken} of {len(targets)} devices took it: " + "; ".join(each)


def carried(targets: Sequence[Target]) -> tuple[TargetResult, ...]:
    """What a parked row carries: results, and which are open. Nothing where none was called: it begins anew then."""
    if not _were_called(targets):
        return ()
    return tuple(
        target.result or TargetResult(id=target.id, status=Status.PARKED, is_in_doubt=target.is_in_doubt)
        for target in targets
    )


_STRONGEST_FIRST = (Status.SENT, Status.UNKNOWN, Status.FAILED, Status.CANCELLED)


def _parked(open_ones: Sequence[TargetResult], targets: Sequence[Target], now_ms: int) -> Verdict:
    last = max(open_ones, key=lambda one: one.until_at_ms)
    return Verdict(
        status=Status.PARKED,
        reason=last.reason,
        detail=told(targets),
        provider=last.provider,
        at_ms=now_ms,
        until_at_ms=last.until_at_ms,
        spends_retry=any(one.spends_retry for one in open_ones),
        is_in_doubt=any(one.is_in_doubt for one in open_ones),
    )


def _were_called(targets: Sequence[Target]) -> bool:
    return any(target.is_in_doubt or (target.result is not None and target.result.provider) for target in targets)


def _status(target: Target) -> Status | None:
    return target.result.status if target.result is not None else None


def _said(target: Target) -> str:
    result = target.result
    if result is None:
        return "was in doubt" if target.is_in_doubt else "was not called"
    word = "open" if result.status is Status.PARKED else str(result.status)
    if result.reason == Reason.UNREGISTERED:
        word = "removed"
    said = ", ".join(filter(None, [result.reason, result.detail]))
    return f"{word} ({said})" if said else word
