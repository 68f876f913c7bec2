"""What a provider's answer means: a verdict, and news for its breaker."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from app.domain.batch import Item, Verdict
from app.domain.delivery_rules import target_paused
from app.domain.errors import (
    DeliveryError,
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    ThrottledError,
    TransientError,
)
from app.domain.outcome import Reason, Status
from app.domain.ports import Receipt

if TYPE_CHECKING:
    from app.domain.ports import Provider
    from tasks.context import StepContext

#: What a call counts with the breaker that ended by the clock: it held a child for as long.
_TIMEOUT_WEIGHT = 3
#: Deliveries parked for a host come back spread over this time.
_SPREAD_MS = 1000


def hear(item: Item, answer: Receipt | Exception, provider: Provider, took_s: float, context: StepContext) -> None:
    """Count a call that has ended, with its delivery, its breaker and its provider's health."""
    item.attempt += 1
    if provider.terms.is_simulated:
        return
    is_failure = _speaks_against(answer)
    context.health.report(provider.name, is_bad=is_failure or took_s > provider.terms.slow_s)
    if isinstance(answer, ThrottledError):
        return
    is_slow = isinstance(answer, (ProviderTimeoutError, InDoubtError))
    key = provider.breaker_key(item.address)
    context.breakers.report(key, is_success=not is_failure, weight=_TIMEOUT_WEIGHT if is_slow else 1)


def may_go_elsewhere(item: Item, answer: Receipt | Exception, context: StepContext) -> bool:
    """Whether another provider may be tried at once.

    Where nobody knows whether this one has it, that is sending again, and the event type decides.
    """
    if isinstance(answer, InDoubtError):
        return context.rule(item.delivery).in_doubt == "resend"
    return isinstance(answer, (TransientError, ThrottledError))


def judge(item: Item, answer: Receipt | Exception, provider: Provider, context: StepContext) -> Verdict:
    """The verdict on a call that has ended."""
    now_ms = context.now_ms()
    if isinstance(answer, Receipt):
        verdict = Verdict(status=Status.SENT, provider_id=answer.provider_id, at_ms=now_ms)
    elif isinstance(answer, PermanentError):
        verdict = Verdict(status=Status.FAILED, reason=answer.reason, detail=answer.detail, at_ms=now_ms)
    elif isinstance(answer, ThrottledError):
        until_ms = context.retry.throttled_until_ms(
            answer.retry_after_s, now_ms=now_ms, expires_at_ms=item.delivery.expires_at_ms, random=random.random
        )
        verdict = _park(until_ms, Reason.PROVIDER_THROTTLED, answer.detail, now_ms)
    elif isinstance(answer, InDoubtError) and context.rule(item.delivery).in_doubt == "unknown":
        verdict = Verdict(status=Status.UNKNOWN, reason=Reason.IN_DOUBT, detail=answer.detail, at_ms=now_ms)
    else:
        verdict = _retry(item, answer, context, now_ms)
    verdict.provider = provider.name
    if verdict.status is Status.FAILED and not isinstance(answer, PermanentError) and _is_in_doubt(item, answer):
        # It is given up, and nobody can say that it was not delivered.
        verdict.status, verdict.reason = Status.UNKNOWN, Reason.IN_DOUBT
    verdict.is_in_doubt = not verdict.status.is_final and (item.is_in_doubt or isinstance(answer, InDoubtError))
    return verdict


def breaker_pause(item: Item, until_ms: int, now_ms: int) -> Verdict:
    """Park a delivery whose target host is being left alone; failed where it would have expired by then."""
    spread_ms = until_ms + random.randrange(_SPREAD_MS)  # noqa: S311 - no secret, only not all at once
    return target_paused(item.delivery, spread_ms, now_ms)


def _speaks_against(answer: Receipt | Exception) -> bool:
    """Whether the provider did not do well: what is about the message or the address alone says nothing of it."""
    if isinstance(answer, (Receipt, PermanentError)):
        return False
    return not (isinstance(answer, DeliveryError) and answer.is_about_address)


def _is_in_doubt(item: Item, answer: Receipt | Exception) -> bool:
    return item.may_have_been_sent or isinstance(answer, InDoubtError)


def _retry(item: Item, error: Exception, context: StepContext, now_ms: int) -> Verdict:
    delivery = item.delivery
    detail = error.detail if isinstance(error, DeliveryError) else type(error).__name__
    until_ms = context.retry.parked_until_ms(
        delivery.priority,
        delivery.retries,
        now_ms=now_ms,
        expires_at_ms=delivery.expires_at_ms,
        random=random.random,
    )
    if until_ms is None:
        return Verdict(status=Status.FAILED, reason=Reason.RETRIES_EXHAUSTED, detail=detail, at_ms=now_ms)
    reason = Reason.IN_DOUBT if isinstance(error, InDoubtError) else Reason.PROVIDER_TRANSIENT
    verdict = _park(until_ms, reason, detail, now_ms)
    verdict.spends_retry = True
    return verdict


def _park(until_ms: int | None, reason: Reason, detail: str, now_ms: int) -> Verdict:
    """Parked until then; failed where there is no time for it (None)."""
    if until_ms is None:
        return Verdict(status=Status.FAILED, reason=reason, detail=detail, at_ms=now_ms)
    return Verdict(status=Status.PARKED, reason=reason, detail=detail, at_ms=now_ms, until_at_ms=until_ms)
