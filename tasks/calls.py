"""Calling a provider for a batch: claims before and after each call, time, breakers, concurrency."""

from __future__ import annotations

import dataclasses
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import structlog

from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.lane import Priority
from app.domain.outcome import OpenReason
from tasks.answers import breaker_pause, judge
from tasks.outcomes import ids, outcome_of
from tasks.verdicts import leave_open, noted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.batch import Batch, Item
    from app.domain.channel import ChannelSpec
    from app.domain.ports import Message, Provider, Receipt
    from tasks.context import StepContext

_log = structlog.get_logger()


@dataclasses.dataclass(slots=True, kw_only=True)
class Calls:
    """The calls of one batch. `answered` are items whose answers the claims do not know of yet."""

    batch: Batch
    context: StepContext
    provider: Provider
    spec: ChannelSpec
    answered: list[Item] = dataclasses.field(default_factory=list)

    def has_time(self) -> bool:
        """Whether a call started now would end before the copy's not_after."""
        return self.context.now_ms() + self.provider.timeout_s * 1000 <= self.batch.head.not_after_ms

    def claim(self, wanted: Sequence[tuple[Item, Message]]) -> list[tuple[Item, Message]]:
        """Note the answers there are, then mark these as being called; those that may be, and have time."""
        going = self._mark(wanted)
        if going and not self.has_time():
            # The claims were slow to answer, or this process stood still.
            self._take_back(going)
            return []
        return going

    def _mark(self, wanted: Sequence[tuple[Item, Message]]) -> list[tuple[Item, Message]]:
        answered, self.answered = self.answered, []
        claimed = [pair for pair in wanted if not pair[0].is_unclaimed]
        try:
            permits = self.context.claims.advance(
                owner=self.batch.owner,
                until_ms=self.batch.head.not_after_ms,
                answered=[
                    (item.delivery.id, item.delivery.pass_no, encode(item.verdict).decode())
                    for item in answered
                    if not item.is_unclaimed
                ],
                calling=[item.delivery.claimable for item, _ in claimed],
            )
        except StoreUnavailableError:
            return self._without_claims(wanted)
        for (item, _), permit in zip(claimed, permits, strict=True):
            if permit.verdict:
                item.verdict = noted(permit.verdict, self.context)
            elif not permit.may_call:
                leave_open([item], OpenReason.BUSY)
        return [pair for pair in wanted if pair[0].verdict is None]

    def answer(self, item: Item, answer: Receipt | Exception) -> None:
        """Judge an answer and hand its outcome over; what is to be parked is written by `record`."""
        self.batch.calls += 1
        item.verdict = judge(item, answer, self.provider, self.context)
        self.answered.append(item)
        if item.verdict.status.is_final:
            try:
                self.context.outcomes.put(outcome_of(item, item.verdict))
            except StoreUnavailableError:
                _log.warning("outcome_not_taken", **ids(item))

    def _take_back(self, going: Sequence[tuple[Item, Message]]) -> None:
        """These are not called after all: held again, or else the next copy would find them in doubt.

        Those that were in doubt before stay so.
        """
        leave_open((item for item, _ in going), OpenReason.NO_TIME)
        claimed = [item.delivery.claimable for item, _ in going if not item.is_unclaimed and not item.is_in_doubt]
        head = self.batch.head
        try:
            self.context.claims.take(claimed, owner=self.batch.owner, until_ms=head.not_after_ms, alone=head.alone)
        except StoreUnavailableError:
            _log.warning("claims_unavailable", queue=head.queue, deliveries=len(claimed))

    def _without_claims(self, wanted: Sequence[tuple[Item, Message]]) -> list[tuple[Item, Message]]:
        _log.warning("claims_unavailable", queue=self.batch.head.queue, deliveries=len(wanted))
        if wanted and wanted[0][0].delivery.priority is not Priority.HIGH:
            leave_open((item for item, _ in wanted), OpenReason.CLAIMS_DOWN)
            return []
        for item, _ in wanted:
            item.is_unclaimed = True
        return list(wanted)


def bulk_calls(calls: Calls, rendered: Sequence[tuple[Item, Message]]) -> None:
    """One call for all: the channel's own store recognises what it has."""
    if not calls.has_time():
        leave_open((item for item, _ in rendered), OpenReason.NO_TIME)
        return
    going = calls.claim(rendered)
    answers = calls.provider.send([message for _, message in going], calls.provider.timeout_s) if going else []
    for (item, _), answer in zip(going, answers, strict=True):
        calls.answer(item, answer)
    calls.claim([])


def window_calls(calls: Calls, rendered: Sequence[tuple[Item, Message]]) -> None:
    """One call a delivery, as many at a time as the channel's concurrency."""
    workers = min(calls.spec.concurrency, len(rendered))
    if workers == 1:
        _one_by_one(calls, deque(rendered))
    else:
        with ThreadPoolExecutor(workers) as pool:
            _several(calls, deque(rendered), pool, workers)
    calls.claim([])


def _one_by_one(calls: Calls, waiting: deque[tuple[Item, Message]]) -> None:
    while waiting:
        for item, message in calls.claim(_admit(calls, waiting, 1)):
            calls.answer(item, calls.provider.send([message], calls.provider.timeout_s)[0])


def _several(calls: Calls, waiting: deque[tuple[Item, Message]], pool: ThreadPoolExecutor, workers: int) -> None:
    running: dict[Future[list[Receipt | Exception]], Item] = {}
    while waiting or running:
        for item, message in calls.claim(_admit(calls, waiting, workers - len(running), is_busy=bool(running))):
            future = pool.submit(calls.provider.send, [message], calls.provider.timeout_s)
            running[future] = item
        if running:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                calls.answer(running.pop(future), future.result()[0])


def _admit(
    calls: Calls, waiting: deque[tuple[Item, Message]], count: int, *, is_busy: bool = False
) -> list[tuple[Item, Message]]:
    """Up to `count` deliveries that time and breakers let through; those they do not are decided here.

    A breaker that is half open lets one call through at a time.
    """
    admitted: list[tuple[Item, Message]] = []
    while waiting and len(admitted) < count:
        item, message = waiting[0]
        state = calls.context.breakers.state(calls.provider.breaker_key(item.address))
        now_ms = calls.context.now_ms()
        if not calls.has_time():
            leave_open([item], OpenReason.NO_TIME)
        elif state.open_until_ms > now_ms:
            _hold(calls, item, state.open_until_ms, now_ms)
        elif state.level and (is_busy or admitted):
            break
        else:
            admitted.append((item, message))
        waiting.popleft()
    return admitted


def _hold(calls: Calls, item: Item, open_until_ms: int, now_ms: int) -> None:
    if calls.spec.breaker_per_target:
        item.verdict = breaker_pause(item, open_until_ms, now_ms)
    else:
        leave_open([item], OpenReason.BREAKER_OPEN)
