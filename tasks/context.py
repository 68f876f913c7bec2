"""What the steps work with: the ports, made once in each worker child."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from app.domain.channel import CHANNELS
from app.domain.clock import now_ms
from app.domain.delivery_rules import goes_without_store
from app.domain.errors import StoreUnavailableError
from app.domain.known_suppressions import NOTHING_SUPPRESSED
from app.domain.trace import NO_TRACER
from app.domain.unsubscribe import NO_LINKS, UnsubscribeLinks
from infrastructure import wiring
from tasks.last_known import LastKnown
from tasks.measured_channels import MeasuredChannels
from tasks.measured_claims import MeasuredClaims
from tasks.store_watch import NO_WATCH, NoWatch, StoreWatch
from tasks.traced_channels import TracedChannels

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from app.domain.catalogue import Catalogue, EventRule
    from app.domain.delivery import Delivery
    from app.domain.lane import Priority
    from app.domain.ports import (
        Breakers,
        Channels,
        Claims,
        Devices,
        ForgottenUsers,
        KnownSuppressions,
        OutcomeLog,
        ParkedStore,
        PreferenceStore,
        ProviderHealth,
        ProviderRates,
        Renderer,
        Suppressions,
        TargetMarks,
        UserLimits,
        Users,
    )
    from app.domain.retry import RetryPolicy
    from app.domain.trace import Tracer
    from app.settings import Settings

#: A user, delivery and owner that there is not.
_NOBODY = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The ports, and the clock (Unix milliseconds)."""

    settings: Settings
    catalogue: Catalogue
    claims: Claims
    marks: TargetMarks
    user_limits: UserLimits
    local_limits: UserLimits
    breakers: Breakers
    health: ProviderHealth
    rates: ProviderRates
    users: Users
    devices: Devices
    forgotten: ForgottenUsers
    preferences: PreferenceStore
    suppressions: Suppressions
    parked: ParkedStore
    channels: Channels
    renderer: Renderer
    outcomes: OutcomeLog
    retry: RetryPolicy
    last_known: LastKnown = dataclasses.field(default_factory=LastKnown)
    known_suppressions: KnownSuppressions = NOTHING_SUPPRESSED
    unsubscribe: UnsubscribeLinks = NO_LINKS
    sql_watch: StoreWatch | NoWatch = NO_WATCH
    tracer: Tracer = NO_TRACER
    now_ms: Callable[[], int] = now_ms

    def warm_up(self) -> None:
        """Load and connect what the first batch needs, so that it is as quick as any other; failing is no harm."""
        for spec in CHANNELS:
            self.channels.providers(spec.name)
        for ask in (
            lambda: self.users.recipients([_NOBODY]),
            lambda: self.forgotten.forgotten_at([_NOBODY]),
            lambda: self.preferences.get_many([_NOBODY]),
            lambda: self.claims.release([_NOBODY], owner=_NOBODY),
            self.outcomes.has_room,
        ):
            with contextlib.suppress(StoreUnavailableError):
                ask()

    def asking_sql(self, priority: Priority) -> AbstractContextManager[None]:
        """For a block that asks SQL about users or addresses: high does not wait for one that was away a moment ago."""
        return (self.sql_watch if goes_without_store(priority) else NO_WATCH).asking()

    def rule(self, delivery: Delivery) -> EventRule:
        """The catalogue's rule for the delivery."""
        return self.catalogue.rule(delivery.event.event_type)


def build_context(settings: Settings) -> StepContext:
    """The context of this process."""
    tracer = wiring.tracer(settings, "worker")
    users, forgotten, preferences = wiring.quick_users(settings)
    return StepContext(
        settings=settings,
        catalogue=wiring.catalogue(settings),
        claims=MeasuredClaims(wiring.claims(settings)),
        marks=wiring.target_marks(settings),
        user_limits=wiring.user_limits(settings),
        local_limits=wiring.local_limits(settings),
        breakers=wiring.breakers(settings),
        health=wiring.provider_health(settings),
        rates=wiring.provider_rates(settings),
        users=users,
        devices=wiring.quick_devices(settings),
        forgotten=forgotten,
        preferences=preferences,
        suppressions=wiring.quick_suppressions(settings),
        parked=wiring.parked(settings),
        channels=MeasuredChannels(TracedChannels(wiring.channels(settings), tracer)),
        renderer=wiring.renderer(settings),
        outcomes=wiring.outcome_log(settings),
        retry=wiring.retry_policy(settings),
        last_known=LastKnown(wiring.known_users(settings)),
        known_suppressions=wiring.known_suppressions(settings),
        unsubscribe=UnsubscribeLinks(wiring.secret(settings), settings.public_url),
        sql_watch=StoreWatch(lambda: users.recipients([_NOBODY])),
        tracer=tracer,
    )
