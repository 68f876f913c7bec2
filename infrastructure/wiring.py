"""From settings to adapters. Connections are made once for a process; nothing connects before its first use."""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.domain.errors import ConfigError
from app.domain.topics import check_retention as check_kafka_retention
from app.domain.trace import NO_TRACER
from infrastructure.secret import read_secret

if TYPE_CHECKING:
    from redis import Redis

    from app.domain.catalogue import Catalogue
    from app.domain.forget_user import ForgetUser
    from app.domain.limit_rules import LaneLimitTable, UserRates
    from app.domain.local_limits import LocalLimits
    from app.domain.ports import (
        ApiKeys,
        BatchLeases,
        CallbackCaller,
        CallbackReceivers,
        Cancels,
        Channels,
        ClaimReview,
        Claims,
        Devices,
        EventLog,
        ForgottenUsers,
        History,
        IdempotencyStore,
        Inbox,
        KnownSuppressions,
        KnownUsers,
        LaneLimits,
        OutcomePublisher,
        ParkedStore,
        PendingCallbacks,
        PersonalData,
        PreferenceStore,
        ProviderHealth,
        ProviderRates,
        ProviderSwitches,
        ReceiptReaders,
        Renderer,
        RequestLimits,
        Statistics,
        Suppressions,
        TargetMarks,
        UserLimits,
        Users,
    )
    from app.domain.retry import RetryPolicy
    from app.domain.take_report import TakeReport
    from app.domain.trace import Tracer
    from app.explain.explainer import Explainer
    from app.settings import Settings
    from infrastructure.cassandra.client import Client
    from infrastructure.cassandra.forgotten import CassandraForgottenUsers
    from infrastructure.kafka.outcome_log import KafkaOutcomeLog
    from infrastructure.redis.breakers import RedisBreakers
    from infrastructure.redis.broker_queues import BrokerQueues
    from infrastructure.redis.workers import WorkerRegistry
    from infrastructure.sql.forgotten import SqlForgottenUsers

_DEFAULT_CATALOGUE = Path(__file__).parents[1] / "app" / "default_catalogue.toml"
_WORKER_MODULES = (
    "infrastructure.channels.chat",
    "infrastructure.channels.email",
    "infrastructure.channels.in_app",
    "infrastructure.channels.log",
    "infrastructure.channels.registry",
    "infrastructure.channels.webhook",
    "infrastructure.kafka.outcome_log",
    "infrastructure.redis.breakers",
    "infrastructure.redis.claims",
    "infrastructure.redis.known_suppressions",
    "infrastructure.redis.known_users",
    "infrastructure.redis.target_marks",
    "infrastructure.redis.user_limits",
    "infrastructure.sql.devices",
    "infrastructure.sql.forgotten",
    "infrastructure.sql.inbox",
    "infrastructure.sql.parked",
    "infrastructure.sql.preferences",
    "infrastructure.sql.suppressions",
    "infrastructure.sql.users",
)
_renderers: dict[tuple[Path, int, int], Renderer] = {}
_closers: list[Channels | KafkaOutcomeLog | Tracer] = []

# SQL


def users(settings: Settings) -> Users:
    """Users and their contacts."""
    from infrastructure.sql.users import SqlUsers

    return SqlUsers(_engine(settings.database_url, settings), known_users(settings))


def preferences(settings: Settings) -> PreferenceStore:
    """Users' preferences."""
    from infrastructure.sql.preferences import SqlPreferences

    return SqlPreferences(_engine(settings.database_url, settings), known_users(settings))


def quick_users(settings: Settings) -> tuple[Users, ForgottenUsers, PreferenceStore]:
    """What a worker reads of users, with its own limit of time."""
    from infrastructure.sql.engine import shared_engine
    from infrastructure.sql.forgotten import SqlForgottenUsers
    from infrastructure.sql.preferences import SqlPreferences
    from infrastructure.sql.users import SqlUsers

    engine = shared_engine(settings.database_url, settings.users_timeout_s)
    return SqlUsers(engine), SqlForgottenUsers(engine, "main", secret(settings)), SqlPreferences(engine)


def devices(settings: Settings) -> Devices:
    """Devices of users."""
    from infrastructure.sql.devices import SqlDevices

    return SqlDevices(_engine(settings.database_url, settings))


def quick_devices(settings: Settings) -> Devices:
    """The same for a worker, with its own limit of time."""
    from infrastructure.sql.devices import SqlDevices
    from infrastructure.sql.engine import shared_engine

    return SqlDevices(shared_engine(settings.database_url, settings.users_timeout_s))


def suppressions(settings: Settings) -> Suppressions:
    """Addresses that nothing is sent to."""
    from infrastructure.sql.suppressions import SqlSuppressions

    return SqlSuppressions(_engine(settings.database_url, settings), secret(settings), known_suppressions(settings))


def quick_suppressions(settings: Settings) -> Suppressions:
    """The same for a worker, with its own limit of time."""
    from infrastructure.sql.engine import shared_engine
    from infrastructure.sql.suppressions import SqlSuppressions

    return SqlSuppressions(shared_engine(settings.database_url, settings.users_timeout_s), secret(settings))


def inbox(settings: Settings) -> Inbox:
    """The in-app inbox."""
    from infrastructure.sql.inbox import SqlInbox

    return SqlInbox(_engine(settings.database_url, settings), _forgotten(settings, "main"))


def parked(settings: Settings) -> ParkedStore:
    """Parked deliveries."""
    from infrastructure.sql.parked import SqlParked

    return SqlParked(_engine(settings.database_url, settings), _forgotten(settings, "main"))


def api_keys(settings: Settings) -> ApiKeys:
    """API keys."""
    from infrastructure.sql.api_keys import SqlApiKeys

    return SqlApiKeys(_engine(settings.database_url, settings))


def callback_receivers(settings: Settings) -> CallbackReceivers:
    """Where the callbacks of API keys go."""
    from infrastructure.sql.callback_receivers import SqlCallbackReceivers

    return SqlCallbackReceivers(_engine(settings.database_url, settings))


def pending_callbacks(settings: Settings) -> PendingCallbacks:
    """Callbacks that are not taken yet."""
    from infrastructure.sql.callbacks import SqlPendingCallbacks

    return SqlPendingCallbacks(_engine(settings.database_url, settings))


def history(settings: Settings) -> History:
    """Every outcome."""
    if _is_on_cassandra(settings):
        from infrastructure.cassandra.history import CassandraHistory

        return CassandraHistory(_cassandra(settings), _forgotten_of_cassandra(settings), settings.history_retention_s)
    from infrastructure.sql.history import SqlHistory

    return SqlHistory(_engine(settings.history_url, settings), _forgotten(settings, "history"))


def statistics(settings: Settings) -> Statistics:
    """Counts of deliveries."""
    if _is_on_cassandra(settings):
        from infrastructure.cassandra.counting import Counting
        from infrastructure.cassandra.statistics import CassandraStatistics

        return CassandraStatistics(Counting(_cassandra(settings), settings.history_retention_s))
    from infrastructure.sql.statistics import SqlStatistics

    return SqlStatistics(_engine(settings.history_url, settings))


def forgotten_users(settings: Settings) -> ForgottenUsers:
    """Who was forgotten."""
    return _forgotten(settings, "main")


def forget_user(settings: Settings) -> ForgetUser:
    """Forgetting a user, everywhere."""
    from app.domain.forget_user import ForgetUser
    from app.domain.personal_data import PersonalDataOfAll
    from infrastructure.sql.personal_data import SqlPersonalData

    data = PersonalDataOfAll(
        [SqlPersonalData(_forgotten(settings, "main"), known_users(settings)), _history_personal_data(settings)]
    )
    held = [
        ("kafka", "events, deliveries, outcomes and dead letters", settings.kafka_retention_s),
        ("redis", "claims with what providers answered, batches under way", settings.claim_ttl_s),
    ]
    if _is_on_cassandra(settings):
        held.append(("cassandra", "deleted cells in files, until they are compacted", settings.history_retention_s))
    return ForgetUser(data, parked(settings), outcome_publisher(settings), held)


def _history_personal_data(settings: Settings) -> PersonalData:
    if _is_on_cassandra(settings):
        from infrastructure.cassandra.personal_data import CassandraPersonalData

        forgotten = _forgotten_of_cassandra(settings)
        return CassandraPersonalData(_cassandra(settings), forgotten, settings.history_retention_s)
    from infrastructure.sql.personal_data import SqlHistoryPersonalData

    return SqlHistoryPersonalData(_forgotten(settings, "history"))


def _forgotten(settings: Settings, kind: Literal["main", "history"]) -> SqlForgottenUsers:
    from infrastructure.sql.forgotten import SqlForgottenUsers

    url = settings.database_url if kind == "main" else settings.history_url
    return SqlForgottenUsers(_engine(url, settings), kind, secret(settings))


def vacuum_stores(settings: Settings) -> None:
    """Rewrite the embedded set's database files, so that nothing that was deleted is left in them."""
    from infrastructure.sql.vacuum import vacuum

    vacuum(_engine(settings.database_url, settings))
    if not _is_on_cassandra(settings):
        vacuum(_engine(settings.history_url, settings))


def migrate_stores(settings: Settings) -> None:
    """Bring both databases to the schema of this version. Raises StoreUnavailableError."""
    from infrastructure.sql.engine import make_engine
    from infrastructure.sql.migrate import STATEMENT_S, Kind, migrate

    databases: list[tuple[str, Kind]] = [(settings.database_url, "main")]
    if _is_on_cassandra(settings):
        from infrastructure.cassandra import migrate as of_cassandra

        of_cassandra.migrate(_cassandra(settings))
    else:
        databases.append((settings.history_url, "history"))
    for url, kind in databases:
        engine = make_engine(url, settings.store_timeout_s, STATEMENT_S)
        migrate(engine, kind)
        engine.dispose()


# Kafka


def event_log(settings: Settings) -> EventLog:
    """Where accepted events go."""
    from infrastructure.kafka.event_log import KafkaEventLog

    return KafkaEventLog(settings)


def outcome_log(settings: Settings) -> KafkaOutcomeLog:
    """What a worker child writes. Not to be made before a fork."""
    from infrastructure.kafka.outcome_log import KafkaOutcomeLog

    log = KafkaOutcomeLog(settings)
    _closers.append(log)
    return log


def outcome_publisher(settings: Settings) -> OutcomePublisher:
    """What becomes of deliveries that no worker has. Not to be made before a fork."""
    from infrastructure.kafka.outcome_publisher import KafkaOutcomePublisher

    return KafkaOutcomePublisher(settings)


# Redis


def idempotency(settings: Settings) -> IdempotencyStore:
    """Idempotency-Keys."""
    from infrastructure.redis.idempotency import RedisIdempotency

    client = _redis_of(settings.redis_url, settings.idempotency_timeout_s)
    return RedisIdempotency(client, running_s=settings.longest_intake_s)


def request_limits(settings: Settings) -> RequestLimits:
    """Limits on the requests of API keys, shared."""
    from infrastructure.redis.request_limits import RedisRequestLimits

    return RedisRequestLimits(_redis_of(settings.redis_url, settings.idempotency_timeout_s))


def claims(settings: Settings) -> Claims:
    """The state of every delivery under way."""
    from infrastructure.redis.claims import RedisClaims

    return RedisClaims(_redis(settings), ttl_s=settings.claim_ttl_s)


def target_marks(settings: Settings) -> TargetMarks:
    """Which devices of a delivery were called."""
    from infrastructure.redis.target_marks import RedisTargetMarks

    return RedisTargetMarks(_redis(settings), ttl_s=settings.claim_ttl_s)


def cancels(settings: Settings) -> Cancels:
    """What clients have taken back."""
    from infrastructure.redis.claims import RedisClaims

    return RedisClaims(_redis(settings), ttl_s=settings.claim_ttl_s)


def claim_review(settings: Settings) -> ClaimReview:
    """The claims, for operators' commands."""
    from infrastructure.redis.claim_review import RedisClaimReview

    return RedisClaimReview(_redis(settings))


def known_users(settings: Settings) -> KnownUsers:
    """Copies of contacts and preferences."""
    from app.domain.known_users import NOTHING_KNOWN
    from infrastructure.redis.known_users import RedisKnownUsers

    if not settings.contacts_cache_s:
        return NOTHING_KNOWN
    return RedisKnownUsers(_redis(settings), ttl_s=settings.contacts_cache_s)


def known_suppressions(settings: Settings) -> KnownSuppressions:
    """Copies of suppressions."""
    from app.domain.known_suppressions import NOTHING_SUPPRESSED
    from infrastructure.redis.known_suppressions import RedisKnownSuppressions

    if not settings.contacts_cache_s:
        return NOTHING_SUPPRESSED
    return RedisKnownSuppressions(_redis(settings), secret(settings), ttl_s=settings.contacts_cache_s)


def user_limits(settings: Settings) -> UserLimits:
    """Per-user limits, shared."""
    from infrastructure.redis.user_limits import RedisUserLimits

    return RedisUserLimits(_redis(settings), _user_rates(settings))


def batch_leases(settings: Settings) -> BatchLeases:
    """Which batches of a channel are out, shared."""
    from infrastructure.redis.batch_leases import RedisBatchLeases

    return RedisBatchLeases(_redis(settings))


def lane_limits(settings: Settings) -> LaneLimits:
    """Limits that pace the lanes, shared."""
    from infrastructure.redis.lane_limits import RedisLaneLimits

    return RedisLaneLimits(_redis(settings), _lane_rates(settings))


def local_limits(settings: Settings) -> LocalLimits:
    """Both kinds of limits, kept in this process: for high while Redis is away."""
    from app.domain.local_limits import LocalLimits

    return LocalLimits(_lane_rates(settings), _user_rates(settings))


def breakers(settings: Settings) -> RedisBreakers:
    """Circuit breakers, shared."""
    from app.domain.breaker import BreakerPolicy
    from infrastructure.redis.breakers import RedisBreakers

    policy = BreakerPolicy(
        failures=settings.breaker_failures, open_s=settings.breaker_open_s, cap_s=settings.breaker_cap_s
    )
    return RedisBreakers(_redis(settings), policy)


def worker_registry(settings: Settings) -> WorkerRegistry:
    """Which queues how many worker children serve."""
    from infrastructure.redis.workers import WorkerRegistry

    return WorkerRegistry(_redis(settings))


def broker_queues(settings: Settings) -> BrokerQueues:
    """What lies in Celery's broker."""
    from infrastructure.redis.broker_queues import BrokerQueues

    return BrokerQueues(_redis_of(settings.broker_url, settings.redis_timeout_s))


def provider_health(settings: Settings) -> ProviderHealth:
    """How well providers do, by all processes' calls."""
    from app.domain.provider_health import HealthPolicy
    from infrastructure.redis.provider_health import RedisProviderHealth

    return RedisProviderHealth(_redis(settings), HealthPolicy())


def provider_switches(settings: Settings) -> ProviderSwitches:
    """Which providers operators have disabled."""
    from infrastructure.redis.provider_switches import RedisProviderSwitches

    return RedisProviderSwitches(_redis(settings))


def provider_rates(settings: Settings) -> ProviderRates:
    """How many calls providers with a rate may be given, shared."""
    from app.domain.limit_rules import Shares
    from infrastructure.redis.provider_rates import RedisProviderRates

    shares = Shares(high=settings.limit_share_high, low=settings.limit_share_low)
    return RedisProviderRates(_redis(settings), shares, worker_registry(settings).children)


# channels, catalogue, rules


def channels(settings: Settings) -> Channels:
    """The providers at hand."""
    from infrastructure.channels.registry import ChannelRegistry

    registry = ChannelRegistry(settings, inbox(settings), secret(settings))
    _closers.append(registry)
    return registry


def receipt_readers(settings: Settings) -> ReceiptReaders:
    """Those who know what providers report."""
    from infrastructure.channels.receipt_readers import ConfiguredReceiptReaders

    return ConfiguredReceiptReaders(settings)


def take_report(settings: Settings, outcomes: OutcomePublisher) -> TakeReport:
    """What becomes of a report."""
    from app.domain.take_report import SoftBounceLimit, TakeReport
    from infrastructure.sql.suppressions import SqlSoftBounces

    return TakeReport(
        secret=secret(settings),
        history=history(settings),
        outcomes=outcomes,
        suppressions=suppressions(settings),
        soft_bounces=SqlSoftBounces(_engine(settings.database_url, settings), secret(settings)),
        limit=SoftBounceLimit(settings.soft_bounces_max, settings.soft_bounces_s),
    )


def callback_caller(settings: Settings) -> CallbackCaller:
    """What calls receivers of callbacks. Whoever asks for it closes it. Raises ConfigError."""
    from infrastructure.channels.callback_caller import HttpCallbackCaller

    return HttpCallbackCaller(settings, secret(settings))


def renderer(settings: Settings) -> Renderer:
    """The catalogue's templates, all of them compiled. Raises ConfigError where one is wrong."""
    from app.domain.catalogue_file import template_place
    from infrastructure.channels.rendering import Renderer

    path = _catalogue_path(settings)
    limits = (path, settings.template_ms, settings.rendered_bytes)
    if limits not in _renderers:
        made = Renderer(settings)
        made.compile_all(
            catalogue(settings), lambda kind, field: template_place(path.read_text(), path.name, kind, field)
        )
        _renderers[limits] = made
    return _renderers[limits]


def catalogue(settings: Settings) -> Catalogue:
    """The event catalogue. Raises ConfigError, naming file and line."""
    return _catalogue_of(_catalogue_path(settings))


def check_retention(settings: Settings) -> None:
    """Raises ConfigError where a real Kafka is set to keep records for less than the catalogue needs."""
    if settings.profile == "real":
        check_kafka_retention(settings.kafka_retention_s, catalogue(settings).max_ttl_s)


def _catalogue_path(settings: Settings) -> Path:
    return settings.catalogue or _DEFAULT_CATALOGUE


@functools.cache
def _catalogue_of(path: Path) -> Catalogue:
    from app.domain.catalogue_file import load_catalogue

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"NOTIFY_CATALOGUE: {path} cannot be read: {error}") from error
    return load_catalogue(text, path.name)


def explainer(settings: Settings) -> Explainer:
    """What would become of an event. Raises ConfigError as `renderer` does."""
    from app.explain.explainer import Explainer
    from infrastructure.redis.limit_book import RedisLimitBook

    return Explainer(
        catalogue=catalogue(settings),
        users=users(settings),
        devices=devices(settings),
        preferences=preferences(settings),
        suppressions=suppressions(settings),
        known=known_users(settings),
        known_suppressions=known_suppressions(settings),
        limits=RedisLimitBook(_redis(settings)),
        user_rates=_user_rates(settings),
        lane_rates=_lane_rates(settings),
        channels=channels(settings),
        renderer=renderer(settings),
        breakers=breakers(settings),
    )


def retry_policy(settings: Settings) -> RetryPolicy:
    """When what failed for now is tried again."""
    from app.domain.retry import RetryPolicy

    return RetryPolicy(
        max_retries=settings.retry_max,
        base_high_s=settings.retry_base_high_s,
        base_s=settings.retry_base_s,
        cap_s=settings.retry_cap_s,
    )


def secret(settings: Settings) -> bytes:
    """The service's secret. Raises ConfigError where there is none."""
    return read_secret(settings)


# telemetry


def tracer(settings: Settings, part: str) -> Tracer:
    """What makes spans of this process. Not to be made before a fork. Raises ConfigError without the packages."""
    if not settings.otlp_endpoint:
        return NO_TRACER
    try:
        from infrastructure.telemetry.otlp import OtlpTracer
    except ImportError as error:
        raise ConfigError("NOTIFY_OTLP_ENDPOINT needs the packages of requirements-otlp.in") from error
    made = OtlpTracer(settings.otlp_endpoint, part)
    _closers.append(made)
    return made


# a process's life


def preload(settings: Settings) -> None:
    """Import all that a worker child uses and compile the templates: forked children share it. Connects to nothing."""
    for name in _WORKER_MODULES:
        importlib.import_module(name)
    renderer(settings)


def dispose_after_fork() -> None:
    """To be called in a forked child before it uses any store: the parent's connections are not its own."""
    from infrastructure.sql import engine

    engine.dispose_after_fork()
    if of_cassandra := sys.modules.get("infrastructure.cassandra.client"):
        of_cassandra.dispose_after_fork()
    _redis_of.cache_clear()


def close() -> None:
    """Give back what this process holds; records under way are waited for."""
    while _closers:
        _closers.pop().close()


def _engine(url: str, settings: Settings):  # type: ignore[no-untyped-def]  # SQLAlchemy's type stays in its package
    from infrastructure.sql.engine import shared_engine

    return shared_engine(url, settings.store_timeout_s)


def _is_on_cassandra(settings: Settings) -> bool:
    return settings.history_url.startswith("cassandra:")


def _cassandra(settings: Settings) -> Client:
    try:
        from infrastructure.cassandra.client import shared_client
    except ImportError as error:
        raise ConfigError("NOTIFY_HISTORY_URL needs the packages of requirements-real.in") from error
    return shared_client(settings.history_url, settings.store_timeout_s)


def _forgotten_of_cassandra(settings: Settings) -> CassandraForgottenUsers:
    client = _cassandra(settings)
    from infrastructure.cassandra.forgotten import CassandraForgottenUsers

    return CassandraForgottenUsers(client, secret(settings))


def _redis(settings: Settings) -> Redis:
    return _redis_of(settings.redis_url, settings.redis_timeout_s)


@functools.cache
def _redis_of(url: str, timeout_s: float) -> Redis:
    from infrastructure.redis.client import make_client

    return make_client(url, timeout_s)


def _user_rates(settings: Settings) -> UserRates:
    from app.domain.limit_rules import user_rates

    return user_rates(settings.limit_user, settings.limit_user_channel)


def _lane_rates(settings: Settings) -> LaneLimitTable:
    from app.domain.limit_rules import lane_limits as rates_of_lanes

    return rates_of_lanes(
        everything=settings.limit_global,
        channel=settings.limit_channel,
        priority=settings.limit_priority,
        share_high=settings.limit_share_high,
        share_low=settings.limit_share_low,
    )
