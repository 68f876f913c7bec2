"""An explainer over the ports that a test's steps, or its HTTP service, work with."""

from __future__ import annotations

from redis import Redis

from app.domain.breaker import BreakerPolicy
from app.domain.catalogue import Catalogue
from app.domain.limit_rules import LaneLimitTable, UserRates, user_rates
from app.domain.ports import LimitBook
from app.explain.explainer import Explainer
from app.settings import Settings
from infrastructure import wiring
from infrastructure.channels.registry import ChannelRegistry
from infrastructure.redis.breakers import RedisBreakers
from infrastructure.redis.limit_book import RedisLimitBook
from tasks.context import StepContext
from tests.support.sql_stores import Stores

BREAKERS = BreakerPolicy(failures=5, open_s=3, cap_s=15)


def explainer_of_steps(
    context: StepContext, book: LimitBook, users: UserRates, lanes: LaneLimitTable | None = None
) -> Explainer:
    """What the steps of this context would do."""
    return Explainer(
        catalogue=context.catalogue,
        users=context.users,
        devices=context.devices,
        suppressions=context.suppressions,
        preferences=context.preferences,
        limits=book,
        user_rates=users,
        lane_rates=lanes or {},
        channels=context.channels,
        renderer=context.renderer,
        breakers=context.breakers,
        known=wiring.known_users(context.settings),
        known_suppressions=context.known_suppressions,
        now_ms=context.now_ms,
    )


def explainer_of_stores(
    settings: Settings, stores: Stores, client: Redis, catalogue: Catalogue, secret: bytes
) -> Explainer:
    """One over these stores, with the limits and channels of the settings."""
    return Explainer(
        catalogue=catalogue,
        users=stores.users,
        devices=stores.devices,
        suppressions=stores.suppressions,
        preferences=stores.preferences,
        limits=RedisLimitBook(client),
        user_rates=user_rates(settings.limit_user, settings.limit_user_channel),
        lane_rates={},
        channels=ChannelRegistry(settings, stores.inbox, secret),
        renderer=wiring.renderer(settings),
        breakers=RedisBreakers(client, BREAKERS),
    )
