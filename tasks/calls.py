"""Calling providers for a batch: claims before and after each call, time, concurrency, the next provider."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final

import structlog

from app.domain.codec import encode
from app.domain.errors import InDoubtError, StoreUnavailableError
from app.domain.lane import Priority
from app.domain.outcome import OpenReason
from tasks.answers import breaker_pause, hear, judge, may_go_elsewhere
from tasks.outcomes import ids, outcome_of
from tasks.provider_choice import Found, ProviderChoice, longest_s
from tasks.verdicts import leave_open, noted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.batch import Batch, Item
    from app.domain.channel import ChannelSpec
    from app.domain.ports import Message, Provider, Receipt
    from tasks.context import StepContext

#: After so many seconds a batch that waits for a rate looks again, whatever the clock did meanwhile.
LONGEST_PAUSE_S: Final = 1.0

_log = structlog.get_logger()


@dataclasses.dataclass(slots=True)
class Call:
    """A delivery to be called for, by `provider` once it is admitted.

    `failed`: who was called before, and what they said; `is_held`: its claim says again that nobody is being called.
    """

    item: Item
    message: Message
    provider: Provider | None = None
    failed: list[tuple[Provider, Receipt | Exception]] = dataclasses.field(default_factory=list)
    is_held: bool = False

    @property
    def called(self) -> list[str]:
        """The names of those who were called before."""
        return [provider.name for provider, _ in self.failed]


@dataclasses.dataclass(slots=True, kw_only=True)
class Calls:
    """The calls of one batch. `answered` are items whose answers the claims do not know of yet.

    `simulator`: what answers test addresses, where they are any.
    `room_at_ms`: when a provider's rate has room for one of those that wait; 0 where none waits for that.
    """

    batch: Batch
    context: StepContext
    providers: Sequence[Provider]
    spec: ChannelSpec
    simulator: Provider | None = None
    answered: list[Item] = dataclasses.field(default_factory=list)
    room_at_ms: int = 0
    choice: ProviderChoice = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Whom to call is asked of the context."""
        self.choice = ProviderChoice(self.providers, self.context, self.batch.head.not_after_ms, self.simulator)

    def claim(self, wanted: Sequence[Call]) -> list[Call]:
        """Note the answers there are, then mark these as being called; those that may be, and have time."""
        self.hold_again([call for call in wanted if call.failed])
        going = self._mark(wanted)
        for call in going:
            call.is_held = False
        late = [call for call in going if not self.choice.has_time(call.item, _chosen(call))]
        if late:
            # The claims were slow to answer, or this process stood still.
            self._take_back(late)
        return [call for call in going if call.item.verdict is None]

    def _mark(self, wanted: Sequence[Call]) -> list[Call]:
        answered, self.answered = self.answered, []
        claimed = [call for call in wanted if not call.item.is_unclaimed]
        try:
            permits = self.context.claims.advance(
                owner=self.batch.owner,
                until_ms=self.batch.head.not_after_ms,
                answered=[
                    (item.delivery.id, item.delivery.pass_no, encode(item.verdict).decode())
                    for item in answered
                    if not item.is_unclaimed
                ],
                calling=[call.item.delivery.claimable for call in claimed],
            )
        except StoreUnavailableError:
            return self._without_claims(wanted)
        for call, permit in zip(claimed, permits, strict=True):
            if permit.verdict:
                call.item.verdict = noted(permit.verdict, self.context)
            elif not permit.may_call:
                leave_open([call.item], OpenReason.BUSY)
        return [call for call in wanted if call.item.verdict is None]

    def answer(self, call: Call, answer: Receipt | Exception, took_s: float) -> Call | None:
        """Take an answer: the call to make next, of another provider, or None where the delivery has its verdict."""
        self.batch.calls += 1
        provider = _chosen(call)
        hear(call.item, answer, provider, took_s, self.context)
        if may_go_elsewhere(call.item, answer, self.context):
            after = Call(call.item, call.message, failed=[*call.failed, (provider, answer)])
            if self.choice.has_other(call.item, after.called):
                call.item.is_in_doubt = call.item.is_in_doubt or isinstance(answer, InDoubtError)
                return after
        self.settle(call, provider, answer)
        return None

    def settle(self, call: Call, provider: Provider, answer: Receipt | Exception) -> None:
        """Judge the last answer and hand its outcome over; what is to be parked is written by `record`."""
        item = call.item
        item.verdict = judge(item, answer, provider, self.context)
        before = [f"after {one.name}: {said}" for one, said in call.failed if one is not provider]
        item.verdict.detail = "; ".join(filter(None, [item.verdict.detail, *before]))
        self.answered.append(item)
        if item.verdict.status.is_final:
            try:
                self.context.outcomes.put(outcome_of(item, item.verdict))
            except StoreUnavailableError:
                _log.warning("outcome_not_taken", **ids(item))

    def hold(self, call: Call, found: Found) -> None:
        """No provider may be called: no rate has room in time, breakers are open, all are off, or there is no time."""
        if found.is_full:
            leave_open([call.item], OpenReason.PROVIDER_FULL)
        elif found.open_until_ms and self.spec.breaker_per_target:
            call.item.verdict = breaker_pause(call.item, found.open_until_ms, self.context.now_ms())
        elif found.open_until_ms or found.is_off:
            leave_open([call.item], OpenReason.BREAKER_OPEN)
        else:
            leave_open([call.item], OpenReason.NO_TIME)

    @property
    def pause_s(self) -> float | None:
        """How long to wait for a provider's rate at most; None where nobody waits for one."""
        if not self.room_at_ms:
            return None
        return min(LONGEST_PAUSE_S, max(0.0, (self.room_at_ms - self.context.now_ms()) / 1000))

    def _take_back(self, going: Sequence[Call]) -> None:
        """These are not called after all: held again, or else the next copy would find them in doubt.

        Those that were in doubt before stay so.
        """
        leave_open((call.item for call in going), OpenReason.NO_TIME)
        self.hold_again(going)

    def hold_again(self, calls: Sequence[Call]) -> None:
        """Nobody has these, and nobody is being called for them now; those that are in doubt stay so."""
        loose = [call for call in calls if not (call.is_held or call.item.is_in_doubt or call.item.is_unclaimed)]
        if not loose:
            return
        try:
            self._let_go(loose)
        except StoreUnavailableError:
            _log.warning("claims_unavailable", queue=self.batch.head.queue, deliveries=len(loose))
            return
        for call in loose:
            call.is_held = True

    def _let_go(self, calls: Sequence[Call]) -> None:
        """Note that nobody is being called for these. Raises StoreUnavailableError."""
        head, claimed = self.batch.head, [call.item.delivery.claimable for call in calls]
        self.context.claims.take(claimed, owner=self.batch.owner, until_ms=head.not_after_ms, alone=head.alone)

    def _without_claims(self, wanted: Sequence[Call]) -> list[Call]:
        _log.warning("claims_unavailable", queue=self.batch.head.queue, deliveries=len(wanted))
        if wanted and wanted[0].item.delivery.priority is not Priority.HIGH:
            leave_open((call.item for call in wanted), OpenReason.CLAIMS_DOWN)
            return []
        for call in wanted:
            call.item.is_unclaimed = True
        return list(wanted)


def bulk_calls(calls: Calls, rendered: Sequence[Call]) -> None:
    """One call for all: the channel's own store recognises what it has."""
    provider = calls.providers[0]
    for call in rendered:
        call.provider = provider
    if rendered and not calls.choice.has_time(rendered[0].item, provider):
        leave_open((call.item for call in rendered), OpenReason.NO_TIME)
        return
    if calls.context.breakers.off(provider.name):
        leave_open((call.item for call in rendered), OpenReason.BREAKER_OPEN)
        return
    going = calls.claim(rendered)
    started_s = time.monotonic()
    answers = provider.send([call.message for call in going], provider.timeout_s) if going else []
    took_s = time.monotonic() - started_s
    for call, answer in zip(going, answers, strict=True):
        calls.answer(call, answer, took_s)
    calls.claim([])


def window_calls(calls: Calls, rendered: Sequence[Call]) -> None:
    """One call a delivery, as many at a time as the channel's concurrency."""
    workers = min(calls.spec.concurrency, len(rendered))
    if workers == 1:
        _one_by_one(calls, deque(rendered))
    else:
        with ThreadPoolExecutor(workers) as pool:
            _several(calls, deque(rendered), pool, workers)
    calls.claim([])


def _one_by_one(calls: Calls, waiting: deque[Call]) -> None:
    while waiting:
        admitted = _admit(calls, waiting, 1)
        for call in calls.claim(admitted):
            after = calls.answer(call, *_called(call))
            if after is not None:
                waiting.appendleft(after)
        if not admitted and calls.pause_s is not None:
            time.sleep(calls.pause_s)


def _several(calls: Calls, waiting: deque[Call], pool: ThreadPoolExecutor, workers: int) -> None:
    running: dict[Future[tuple[Receipt | Exception, float]], Call] = {}
    while waiting or running:
        for call in calls.claim(_admit(calls, waiting, workers - len(running), list(running.values()))):
            running[pool.submit(_called, call)] = call
        if running:
            ended, _ = wait(running, calls.pause_s, FIRST_COMPLETED)
            for future in ended:
                after = calls.answer(running.pop(future), *future.result())
                if after is not None:
                    waiting.appendleft(after)
        elif calls.pause_s is not None:
            time.sleep(calls.pause_s)


def _called(call: Call) -> tuple[Receipt | Exception, float]:
    """The provider's answer, and how long it took."""
    provider, started_s = _chosen(call), time.monotonic()
    [answer] = provider.send([call.message], longest_s(call.item, provider))
    return answer, time.monotonic() - started_s


def _admit(calls: Calls, waiting: deque[Call], count: int, running: Sequence[Call] = ()) -> list[Call]:
    """Up to `count` deliveries that time, breakers and rates let through; those they do not are decided here.

    A breaker that is half open lets one call through at a time. Who waits for a rate stays in front.
    """
    admitted: list[Call] = []
    aside: list[Call] = []
    calls.room_at_ms = 0
    while waiting and len(admitted) < count:
        call = waiting.popleft()
        busy = {_chosen(one).name for one in (*running, *admitted)}
        found = calls.choice.find(call.item, call.called, busy, len(waiting) + 1)
        call.provider = found.provider
        if call.provider is not None:
            admitted.append(call)
        elif found.room_at_ms or (found.is_wait and not call.failed):
            calls.room_at_ms = min(filter(None, (calls.room_at_ms, found.room_at_ms)), default=0)
            aside.append(call)
            if not call.failed:
                break  # the others may call nobody else either
            calls.hold_again([call])
        elif call.failed:
            calls.settle(call, *call.failed[-1])
        else:
            calls.hold(call, found)
    waiting.extendleft(reversed(aside))
    return admitted


def _chosen(call: Call) -> Provider:
    if call.provider is None:
        raise RuntimeError("nobody was chosen for the call")
    return call.provider
