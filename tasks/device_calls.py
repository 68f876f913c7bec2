"""Calls for deliveries that go to several devices: each device is called, marked and judged by itself.

The delivery's claim goes its usual way: calling from the first device on, answered when the last one has its result.
Beside it a mark for each device says which were called, so that another copy calls no device that has answered.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import structlog
from msgspec import structs

from app.domain.batch import Item, Verdict
from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import OpenReason, Reason, Status
from app.domain.ports import TargetKey
from app.domain.target import Target
from app.domain.target_rules import merged, result_of
from tasks.answers import breaker_pause, judge
from tasks.calls import Call, Calls, window_calls
from tasks.outcomes import ids, outcome_of
from tasks.provider_choice import ProviderChoice
from tasks.verdicts import leave_open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.ports import Message, Permit, Provider, Receipt
    from tasks.provider_choice import Found

_log = structlog.get_logger()


class DeviceItem(Item, kw_only=True):
    """One device of a delivery, as the calls see it: its address is the device's token, its doubt the device's own."""

    whole: Item
    target: Target

    @property
    def key(self) -> TargetKey:
        """What its mark is known by."""
        return TargetKey(self.delivery.id, self.delivery.pass_no, self.target.id)


def device_items(whole: Item) -> list[DeviceItem]:
    """The devices that are to be called."""
    delivery = structs.replace(whole.delivery, is_in_doubt=False)
    return [
        DeviceItem(
            offset=whole.offset,
            delivery=delivery,
            address=target.token,
            is_unclaimed=whole.is_unclaimed,
            is_in_doubt=target.is_in_doubt,
            whole=whole,
            target=target,
        )
        for target in whole.targets
        if target.result is None
    ]


class DeviceChoice(ProviderChoice):
    """Only providers that reach the device's platform."""

    def _in_order(self, item: Item) -> Sequence[Provider]:
        platform = item.target.platform if isinstance(item, DeviceItem) else ""
        return [one for one in ProviderChoice._in_order(self, item) if platform in one.terms.platforms]  # noqa: SLF001 - our base's


@dataclasses.dataclass(slots=True, kw_only=True)
class DeviceCalls(Calls):
    """The calls of one batch. `decided` are deliveries whose verdicts the claims do not know of yet.

    `cancelled` are those that no device is called for any more; the claims say so once.
    """

    parts: dict[str, list[DeviceItem]] = dataclasses.field(default_factory=dict)
    decided: list[Item] = dataclasses.field(default_factory=list)
    cancelled: set[str] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        """Whom to call is asked of the context."""
        self.choice = DeviceChoice(self.providers, self.context, self.batch.head.not_after_ms, self.simulator)

    def run(self, messages: Sequence[tuple[Item, Message]]) -> None:
        """Call all devices, as many at a time as the channel's concurrency."""
        calls = []
        for item, message in messages:
            self.parts[item.delivery.id] = device_items(item)
            calls += [
                Call(part, structs.replace(message, address=part.address)) for part in self.parts[item.delivery.id]
            ]
        window_calls(self, calls)
        for item, _ in messages:
            if item.verdict is None:
                self._decide(item)
        if self.decided or self.answered:
            self.claim([])

    def settle(self, call: Call, provider: Provider, answer: Receipt | Exception) -> None:
        """Judge the last answer of a device; the delivery is decided when it was the last of its devices."""
        part = _part(call)
        part.verdict = judge(part, answer, provider, self.context)
        before = [f"after {one.name}: {said}" for one, said in call.failed if one is not provider]
        part.verdict.detail = "; ".join(filter(None, [part.verdict.detail, *before]))
        self.answered.append(part)
        if all(one.verdict is not None for one in self.parts[part.delivery.id]):
            self._decide(part.whole)

    def hold(self, call: Call, found: Found) -> None:
        """Nobody of the device's platform may be called: where the lane goes on for other devices, this one is parked.

        Left open it would hold its partition for as long as one push service is down, and all others with it.
        """
        part, now_ms = _part(call), self.context.now_ms()
        until_ms = found.open_until_ms
        if not until_ms and found.is_off:
            until_ms = now_ms + round(1000 * self.context.settings.breaker_cap_s)
        if found.is_full or not until_ms or not self._lane_goes_on(part, found):
            Calls.hold(self, call, found)  # super() would look for the class from before `slots`
            return
        part.verdict = breaker_pause(part, until_ms, now_ms)
        if part.is_in_doubt and part.verdict.status is Status.FAILED:
            part.verdict.status, part.verdict.reason = Status.UNKNOWN, Reason.IN_DOUBT
        part.verdict.is_in_doubt = part.is_in_doubt and not part.verdict.status.is_final

    def _lane_goes_on(self, part: DeviceItem, found: Found) -> bool:
        """Whether the channel has providers for others, or a breaker is one host's: neither pauses the lane."""
        reaching = [one for one in self.providers if part.target.platform in one.terms.platforms]
        is_one_hosts = bool(found.open_until_ms) and any(one.terms.breaker_per_target for one in reaching)
        return len(reaching) < len(self.providers) or is_one_hosts

    def _decide(self, whole: Item) -> None:
        """Whether all devices have their results; one that has none leaves the delivery open."""
        parts = self.parts[whole.delivery.id]
        whole.attempt += sum(part.attempt for part in parts)
        still_open = None
        for part in parts:
            if part.verdict is None or part.verdict.open is not None:
                still_open = part.verdict.open if part.verdict is not None else OpenReason.STEP_FAILED
            else:
                part.target.result = result_of(part.target, part.verdict)
        if still_open is not None:
            leave_open([whole], still_open)
            return
        whole.verdict = merged(whole.targets, self.context.now_ms())
        self.decided.append(whole)
        if whole.verdict.status.is_final:
            try:
                self.context.outcomes.put(outcome_of(whole, whole.verdict))
            except StoreUnavailableError:
                _log.warning("outcome_not_taken", **ids(whole))

    def _mark(self, wanted: Sequence[Call]) -> list[Call]:
        """The delivery's claim first, then the marks: a call begins only where both let it."""
        answered, self.answered = self.answered, []
        decided, self.decided = self.decided, []
        claimed = [part for call in wanted if not (part := _part(call)).is_unclaimed]
        try:
            self._ask_claims(decided, claimed)
            starting = [part for part in claimed if part.verdict is None]
            results = [
                (part.key, encode(result_of(part.target, part.verdict)).decode())
                for part in answered
                if isinstance(part, DeviceItem) and part.verdict is not None and not part.is_unclaimed
            ]
            may = self.context.marks.note(
                owner=self.batch.owner, answered=results, starting=[part.key for part in starting]
            )
        except StoreUnavailableError:
            self.answered, self.decided = [*answered, *self.answered], [*decided, *self.decided]
            return self._go_unclaimed(wanted)
        leave_open((part for part, may_call in zip(starting, may, strict=True) if not may_call), OpenReason.BUSY)
        return [call for call in wanted if call.item.verdict is None]

    def _ask_claims(self, decided: Sequence[Item], claimed: Sequence[DeviceItem]) -> None:
        """One question for each delivery, however many of its devices are to be called."""
        asked = {part.delivery.id: part.whole for part in claimed if part.delivery.id not in self.cancelled}
        wholes = list(asked.values())
        permits = self.context.claims.advance(
            owner=self.batch.owner,
            until_ms=self.batch.head.not_after_ms,
            answered=[
                (item.delivery.id, item.delivery.pass_no, encode(item.verdict).decode())
                for item in decided
                if not item.is_unclaimed
            ],
            calling=[item.delivery.claimable for item in wholes],
        )
        by_id = dict(zip(asked, permits, strict=True))
        self.cancelled |= {delivery_id for delivery_id, permit in by_id.items() if permit.verdict}
        for part in claimed:
            self._obey(part, by_id.get(part.delivery.id))

    def _obey(self, part: DeviceItem, permit: Permit | None) -> None:
        if permit is None or permit.verdict:
            status, reason = Status.CANCELLED, Reason.CANCELLED_BY_CLIENT
            if part.is_in_doubt:
                status, reason = Status.UNKNOWN, Reason.IN_DOUBT
            part.verdict = Verdict(status=status, reason=reason, at_ms=self.context.now_ms())
        elif not permit.may_call:
            leave_open([part], OpenReason.BUSY)

    def _go_unclaimed(self, wanted: Sequence[Call]) -> list[Call]:
        going = self._without_claims(wanted)
        for call in going:
            _part(call).whole.is_unclaimed = True
        return going

    def _let_go(self, calls: Sequence[Call]) -> None:
        """Nobody is being called for these devices now; the claim stays with the others."""
        self.context.marks.take_back([_part(call).key for call in calls], owner=self.batch.owner)


def _part(call: Call) -> DeviceItem:
    if not isinstance(call.item, DeviceItem):
        raise TypeError("a delivery to devices is called device by device")
    return call.item
