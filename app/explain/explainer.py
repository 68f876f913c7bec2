"""What would become of an event if it came now: everything is read, nothing is sent, taken or stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

from app.domain.batch import Verdict
from app.domain.catalogue import Catalogue
from app.domain.clock import now_ms
from app.domain.delivery import Delivery
from app.domain.device import Device
from app.domain.errors import ConfigError
from app.domain.event import Event
from app.domain.event_plan import Plan, plan_event
from app.domain.known_suppressions import NOTHING_SUPPRESSED
from app.domain.known_users import NOTHING_KNOWN
from app.domain.limit_rules import LaneLimitTable, UserRates, keys_of
from app.domain.ports import (
    Breakers,
    Channels,
    Devices,
    KnownSuppressions,
    KnownUsers,
    LimitBook,
    PreferenceStore,
    Provider,
    Renderer,
    Suppressions,
    Users,
)
from app.domain.rfc3339 import rfc3339
from app.explain.explanation import ChosenChannels, ChosenPriority, ChosenTtl, Explanation
from app.explain.facts import (
    Facts,
    devices_of,
    known_of,
    limits_of,
    preferences_of,
    recipient_of,
    suppressions_of,
)
from app.explain.foresight import Foresight
from app.explain.limit_run import LimitRun
from app.explain.telling import told_delivery, told_user, told_verdict

#: The id of a notification that there is not; templates may show it.
NO_ID: Final = "00000000-0000-7000-8000-000000000000"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """The ports that dispatcher and steps go by. Safe between threads."""

    catalogue: Catalogue
    users: Users
    devices: Devices
    preferences: PreferenceStore
    suppressions: Suppressions
    limits: LimitBook
    user_rates: UserRates
    lane_rates: LaneLimitTable
    channels: Channels
    renderer: Renderer
    breakers: Breakers
    known: KnownUsers = NOTHING_KNOWN
    known_suppressions: KnownSuppressions = NOTHING_SUPPRESSED
    now_ms: Callable[[], int] = now_ms

    def explain(self, event: Event) -> Explanation:
        """The decision for a valid event, delivery by delivery in the order of its channels.

        That is also the order in which they are taken to ask the limits. What waits in a lane before them is not
        known. Raises nothing for a store that is away.
        """
        at_ms = self.now_ms()
        plan = plan_event(NO_ID, event, self.catalogue, at_ms, at_ms)
        facts = self._facts(event, plan, at_ms)
        found = [self._begin(delivery, facts) for delivery in plan.deliveries]
        limits = None if facts.limits is None else LimitRun(facts.limits, self.user_rates, self.lane_rates)
        for one in found:
            one.address_it()
        self._ask_suppressions(found)
        for one in found:
            one.ask_breaker(self.breakers)
            one.ask_lane(limits)
            one.render(self.renderer)
        # What its lane holds back comes to the user's limits after the others.
        for one in sorted(found, key=lambda one: bool(one.held_reason)):
            one.decide(limits)
        return self._told(event, plan, facts, found)

    def _facts(self, event: Event, plan: Plan, at_ms: int) -> Facts:
        user_id = event.user_id
        keys: dict[str, None] = {}
        for delivery in plan.deliveries:
            of_user = self.user_rates.limits(user_id, delivery.channel)
            keys |= dict.fromkeys(keys_of(of_user, self.lane_rates.get(delivery.lane.queue, ())))
        recipient, preferences = recipient_of(self.users, user_id), preferences_of(self.preferences, user_id)
        is_away = recipient is None or preferences is None
        return Facts(
            now_ms=at_ms,
            recipient=recipient,
            preferences=preferences,
            limits=limits_of(self.limits, list(keys)),
            devices=self._devices(event, plan),
            known=known_of(self.known, user_id) if is_away else None,
        )

    def _devices(self, event: Event, plan: Plan) -> Sequence[Device] | None:
        """Asked only where one of the channels goes to them."""
        has_devices = any(self.channels.spec(delivery.channel).has_devices for delivery in plan.deliveries)
        return devices_of(self.devices, event.user_id) if has_devices else ()

    def _ask_suppressions(self, found: Sequence[Foresight]) -> None:
        """All addresses at once; where SQL does not answer, as high would."""
        places = [place for one in found if (place := one.destination) is not None]
        reasons, is_away = suppressions_of(self.suppressions, self.known_suppressions, places)
        for one in found:
            one.is_suppression_unknown = is_away
            one.suppressed = reasons.get(one.destination, "") if one.destination else ""

    def _begin(self, delivery: Delivery, facts: Facts) -> Foresight:
        providers: Sequence[Provider] = ()
        simulator, is_misconfigured = None, False
        try:
            providers = self.channels.providers(delivery.channel)
            simulator = self.channels.simulator(delivery.channel)
        except ConfigError:
            is_misconfigured = True
        return Foresight(
            delivery=delivery,
            rule=self.catalogue.rule(delivery.event.event_type),
            spec=self.channels.spec(delivery.channel),
            facts=facts,
            providers=providers,
            simulator=simulator,
            is_misconfigured=is_misconfigured,
        )

    def _told(self, event: Event, plan: Plan, facts: Facts, found: list[Foresight]) -> Explanation:
        options, rule = event.options, self.catalogue.rule(event.event_type)
        verdict = Verdict(status=plan.status, reason=plan.reason, at_ms=facts.now_ms)
        return Explanation(
            at=rfc3339(facts.now_ms),
            user_id=event.user_id,
            event_type=event.event_type,
            is_named=event.event_type in self.catalogue.rules,
            category=rule.category,
            critical=rule.critical,
            priority=ChosenPriority(
                value=self.catalogue.priority(event), source="options" if options.priority else "catalogue"
            ),
            channels=ChosenChannels(
                value=self.catalogue.channels(event), source="options" if options.channels else "catalogue"
            ),
            ttl_s=ChosenTtl(value=self.catalogue.ttl_s(event), source="options" if options.ttl_s else "catalogue"),
            expires_at=rfc3339(plan.expires_at_ms),
            user=told_user(facts.recipient),
            deliveries=tuple(told_delivery(one) for one in found),
            verdict=None if plan.deliveries else told_verdict(verdict),
        )
