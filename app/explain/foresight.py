"""One delivery on the way that dispatcher and steps would take it, with their rules, in their order.

claims, expiry, send_at, address, its suppression -> preferences -> user limits -> rendering -> breaker: what a step of
`tasks/pipeline.py` acts on is asked here of the same function (`app.domain.delivery_rules`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from app.domain.batch import Verdict
from app.domain.catalogue import EventRule
from app.domain.channel import ChannelSpec
from app.domain.delivery import Delivery
from app.domain.delivery_rules import (
    address_of,
    address_suppressed,
    charge_of,
    checked_address,
    expired,
    goes_without_store,
    goes_without_users,
    in_charge,
    is_paused,
    not_configured,
    over_user_limit,
    preferences_without_store,
    rendered,
    scheduled,
    target_paused,
    unwanted,
)
from app.domain.device import Device
from app.domain.device_rules import platform_of
from app.domain.outcome import OpenReason, Reason, Status
from app.domain.ports import Breakers, BreakerState, Message, Provider, Renderer, SwitchedOff
from app.domain.suppression import CHANNELS, Destination
from app.domain.users import Recipient
from app.explain.explanation import LimitState
from app.explain.facts import Facts
from app.explain.limit_run import LimitRun


@dataclasses.dataclass(slots=True, kw_only=True)
class Foresight:
    """A delivery, what it meets, and where its way ends."""

    delivery: Delivery
    rule: EventRule
    spec: ChannelSpec
    facts: Facts
    providers: Sequence[Provider]
    simulator: Provider | None = None
    is_misconfigured: bool = False
    address: str | Verdict | None = None
    suppressed: str = ""
    is_suppression_unknown: bool = False
    breaker: BreakerState | None = None
    off: Mapping[str, SwitchedOff] = dataclasses.field(default_factory=dict)
    user_limits: tuple[LimitState, ...] = ()
    lane_limits: tuple[LimitState, ...] = ()
    made: Message | Verdict | None = None
    verdict: Verdict | None = None
    held_reason: str = ""
    held_until_ms: int = 0

    @property
    def provider(self) -> Provider | None:
        """The one whose idea of an address it is: all of a channel have the same, or all of a device's platform."""
        takers = self.takers
        if self.spec.has_devices:
            platform, _ = self._target
            for one in takers:
                if platform in one.terms.platforms:
                    return one
        return takers[0] if takers else None

    @property
    def takers(self) -> Sequence[Provider]:
        """Those that may take it: the channel's, or the simulator alone where the address is a test address."""
        return in_charge(self.delivery.channel, self.raw_address, self.providers, self.simulator)

    @property
    def recipient(self) -> Recipient:
        """The user; where SQL does not answer, as high knows them, else the defaults."""
        return self.facts.recipient or self.last_known or Recipient(user_id=self.delivery.event.user_id)

    @property
    def last_known(self) -> Recipient | None:
        """The user as the delivery would see them without SQL."""
        known = self.facts.known
        return known.recipient if known is not None and goes_without_store(self.delivery.priority) else None

    @property
    def raw_address(self) -> str | None:
        """The address as it was given; of several devices one that can be reached, for that is enough."""
        if self.spec.has_devices:
            return self._target[1]
        return address_of(self.delivery.event, self.spec.contact, self.recipient)

    @property
    def _target(self) -> tuple[str, str | None]:
        """Platform and token of the device that it goes to."""
        if not self.is_given and self.facts.devices:
            devices = (device for device in self.facts.devices if self._is_reached(device))
            device = next(devices, self.facts.devices[0])
            return device.platform, device.token
        address = address_of(self.delivery.event, self.spec.contact, self.recipient)
        return platform_of(address or ""), address

    @property
    def is_given(self) -> bool:
        """Whether the address came with the event."""
        to = self.delivery.event.options.to
        return bool(to is not None and self.spec.contact and getattr(to, self.spec.contact))

    def _is_reached(self, device: Device) -> bool:
        takers = in_charge(self.delivery.channel, device.token, self.providers, self.simulator)
        return any(device.platform in taker.terms.platforms for taker in takers)

    def address_it(self) -> None:
        """What the provider says of the address, or of none."""
        if self.provider is not None:
            self.address = checked_address(self.raw_address, self.provider, self.facts.now_ms)

    @property
    def destination(self) -> Destination | None:
        """What may be suppressed; None where there is no address, or none that is ever."""
        if self.delivery.channel not in CHANNELS or not isinstance(self.address, str):
            return None
        return Destination(self.delivery.channel, self.address)

    def ask_breaker(self, breakers: Breakers) -> None:
        """What is known of the breaker: Redis must answer for that, and the address of a target be known."""
        if self.facts.limits is None or (self.spec.breaker_per_target and not isinstance(self.address, str)):
            return
        address = self.address if isinstance(self.address, str) else ""
        # What holds a lane holds its test addresses, too; a target's breaker is its own.
        asked = self.takers if self.spec.breaker_per_target or not self.providers else self.providers
        looks = [(provider.name, breakers.state(provider.breaker_key(address))) for provider in asked]
        names = [provider.name for provider in self.providers]
        self.off = {name: off for name in names if (off := breakers.off(name)) is not None}
        states = [state for name, state in looks if name not in self.off]
        # Of several the one that lets a delivery through first: only where all are open it waits.
        self.breaker = min(states, key=lambda state: (state.open_until_ms, state.level), default=None)

    def ask_lane(self, limits: LimitRun | None) -> None:
        """Whether the dispatcher would let it go: an open breaker is asked before the limits, and spares them."""
        if limits is not None:
            self.lane_limits = limits.lane_states(self.delivery.lane.queue)
        if self.off and len(self.off) == len(self.providers):
            self.held_reason = "provider_disabled"
            ends = [off.until_ms for off in self.off.values() if off.until_ms]
            self.held_until_ms = min(ends, default=0)
        elif self.breaker is not None and is_paused(self.spec, self.breaker, self.facts.now_ms):
            self.held_reason, self.held_until_ms = Reason.BREAKER_OPEN, self.breaker.open_until_ms
        elif limits is not None and (until_ms := limits.ask(self.delivery.lane.queue)):
            self.held_reason, self.held_until_ms = "lane_limit", until_ms

    def render(self, renderer: Renderer) -> None:
        """The content, whether or not it would come to that."""
        address = self.address if isinstance(self.address, str) else ""
        self.made = rendered(renderer, self.rule, self.delivery, self.recipient, address, self.facts.now_ms)

    def decide(self, limits: LimitRun | None) -> None:
        """The verdict, step by step."""
        if limits is not None:
            self.user_limits = limits.user_states(self.delivery.event.user_id, self.delivery.channel)
        addressed = self._claimed() or self._addressed() or self._not_suppressed()
        self.verdict = addressed or self._wanted() or self._charged(limits) or self._called()

    def _claimed(self) -> Verdict | None:
        if self.facts.limits is None and not goes_without_store(self.delivery.priority):
            return Verdict(open=OpenReason.CLAIMS_DOWN)
        return expired(self.delivery, self.facts.now_ms) or scheduled(self.delivery, self.facts.now_ms)

    def _addressed(self) -> Verdict | None:
        if self.is_misconfigured:
            return Verdict(open=OpenReason.STEP_FAILED)
        if self.provider is None:
            return not_configured(self.facts.now_ms)
        if self._waits_for_sql():
            return Verdict(open=OpenReason.SQL_DOWN) if self.providers else not_configured(self.facts.now_ms)
        return self.address if isinstance(self.address, Verdict) else None

    def _not_suppressed(self) -> Verdict | None:
        if self.is_suppression_unknown and self.destination and not goes_without_store(self.delivery.priority):
            return Verdict(open=OpenReason.SQL_DOWN)
        return address_suppressed(self.suppressed, self.facts.now_ms)

    def _waits_for_sql(self) -> bool:
        """Whether nobody can say whom it goes to."""
        if self.facts.recipient is None and not goes_without_users(self.delivery, self.spec.contact, self.facts.known):
            return True
        return self.facts.devices is None and self.spec.has_devices and not self.is_given

    def _wanted(self) -> Verdict | None:
        if self.rule.critical:
            return None
        preferences = self.facts.preferences
        if preferences is None:
            preferences = preferences_without_store(self.delivery.priority, self.facts.known)
        if preferences is None:
            return Verdict(open=OpenReason.SQL_DOWN)
        return unwanted(self.rule, self.delivery, preferences, self.recipient.timezone, self.facts.now_ms)

    def _charged(self, limits: LimitRun | None) -> Verdict | None:
        if limits is None:
            return None
        answer = limits.charge(charge_of(self.rule, self.delivery))
        return over_user_limit(self.rule, answer, self.facts.now_ms)

    def _called(self) -> Verdict:
        if isinstance(self.made, Verdict):
            return self.made
        if self.spec.breaker_per_target and self.breaker and self.breaker.open_until_ms > self.facts.now_ms:
            return target_paused(self.delivery, self.breaker.open_until_ms, self.facts.now_ms)
        return Verdict(status=Status.SENT, at_ms=self.facts.now_ms)
