"""The HTTP application over real stores: SQLite and a Redis server. Kafka is recorded; a test may make it fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.domain.catalogue import Catalogue, EventRule
from app.domain.forget_user import ForgetUser
from app.domain.lane import Priority
from app.domain.outcome import Outcome
from app.domain.ports import RawRecord
from app.domain.take_report import SoftBounceLimit, TakeReport
from app.http.app import create_app
from app.http.services import Services
from app.settings import Settings
from infrastructure.channels.receipt_readers import ConfiguredReceiptReaders
from infrastructure.redis.claims import RedisClaims
from infrastructure.redis.client import make_client
from infrastructure.redis.idempotency import RedisIdempotency
from infrastructure.redis.request_limits import RedisRequestLimits
from tests.support.explaining import explainer_of_stores
from tests.support.receipts import reporting_settings, sns_page
from tests.support.redis_server import RedisServer
from tests.support.sql_stores import fresh_stores

SECRET = b"a secret of these tests"
EVENT = {"user_id": "user-001", "event_type": "security_alert", "content": "Suspicious login attempt"}


def rule(event_type: str, priority: Priority, *channels: str, ttl_s: int = 3600) -> EventRule:
    """A rule of the account category."""
    return EventRule(
        event_type=event_type,
        category="account",
        priority=priority,
        channels=channels,
        ttl_s=ttl_s,
        subject="{{ event_type }}",
        text="{{ content }}",
    )


CATALOGUE = Catalogue(
    rules={
        "security_alert": rule("security_alert", Priority.HIGH, "email", "in_app"),
        "newsletter": rule("newsletter", Priority.LOW, "email"),
    },
    default=rule("*", Priority.MEDIUM, "in_app"),
    max_ttl_s=7200,
)


class RecordingLog:
    """EventLog that keeps what it was given. `errors` are what the next records fail with, in order."""

    def __init__(self) -> None:
        self.calls: list[list[RawRecord]] = []
        self.errors: list[Exception | None] = []
        self.is_up = True

    @property
    def records(self) -> list[RawRecord]:
        return [record for call in self.calls for record in call]

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        assert timeout_s > 0
        self.calls.append(list(records))
        return [self.errors.pop(0) if self.errors else None for _ in records]

    def is_ready(self, timeout_s: float) -> bool:
        assert timeout_s > 0
        return self.is_up


class RecordingPublisher:
    """OutcomePublisher that keeps what it was given, and says that Kafka took it unless it is told otherwise."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.is_up = True

    def publish(self, outcomes: Sequence[Outcome], timeout_s: float) -> bool:
        assert timeout_s > 0
        self.outcomes += outcomes
        return self.is_up


@pytest.fixture
def http_services(tmp_path: Path, redis_server: RedisServer) -> Iterator[Services]:
    with fresh_stores("sqlite", tmp_path) as stores:
        settings = Settings.load({"NOTIFY_CANCEL_WAIT_S": "0.3"})
        client = make_client(redis_server.url(), settings.idempotency_timeout_s)
        explainer = explainer_of_stores(settings, stores, client, CATALOGUE, SECRET)
        outcomes = RecordingPublisher()
        yield Services(
            settings=settings,
            secret=SECRET,
            catalogue=CATALOGUE,
            log=RecordingLog(),
            idempotency=RedisIdempotency(client, running_s=5.0),
            users=stores.users,
            preferences=stores.preferences,
            devices=stores.devices,
            inbox=stores.inbox,
            history=stores.history,
            api_keys=stores.api_keys,
            request_limits=RedisRequestLimits(client),
            statistics=stores.statistics,
            cancels=RedisClaims(client, ttl_s=settings.claim_ttl_s),
            parked=stores.parked,
            outcomes=outcomes,
            explainer=lambda: explainer,
            forget=ForgetUser(
                stores.personal_data,
                stores.parked,
                RecordingPublisher(),
                [("kafka", "events", 86_400.0)],
                sleep=lambda _seconds: None,  # these stores share what they know
            ),
            receipt_readers=ConfiguredReceiptReaders(reporting_settings(settings, tmp_path), sns_page),
            take_report=TakeReport(
                secret=SECRET,
                history=stores.history,
                outcomes=outcomes,
                suppressions=stores.suppressions,
                soft_bounces=stores.soft_bounces,
                limit=SoftBounceLimit(3, 3600.0),
            ),
        )
        client.close()


@pytest.fixture
def http_log(http_services: Services) -> RecordingLog:
    assert isinstance(http_services.log, RecordingLog)
    return http_services.log


@pytest.fixture
def http(http_services: Services) -> FlaskClient:
    return create_app(http_services).test_client()


def client_without(services: Services, **others: object) -> FlaskClient:
    """A client of the same application with some ports exchanged."""
    return create_app(dataclasses.replace(services, **others)).test_client()  # type: ignore[arg-type]
