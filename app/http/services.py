"""What the HTTP service works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.registry import Collector

from app.domain.catalogue import Catalogue
from app.domain.forget_user import ForgetUser
from app.domain.ports import (
    ApiKeys,
    Cancels,
    Devices,
    EventLog,
    History,
    IdempotencyStore,
    Inbox,
    OutcomePublisher,
    ParkedStore,
    PreferenceStore,
    ReceiptReaders,
    RequestLimits,
    Statistics,
    Users,
)
from app.domain.take_report import TakeReport
from app.domain.trace import NO_TRACER, Tracer
from app.explain.explainer import Explainer
from app.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The ports and settings that the resources use. `secret` makes and knows ids.

    `further_metrics` are the process's beside what HTTP itself counts.
    `explainer` is made when it is first asked for: what it needs of channels and templates must not keep intake from
    starting.
    """

    settings: Settings
    secret: bytes
    catalogue: Catalogue
    log: EventLog
    idempotency: IdempotencyStore
    users: Users
    preferences: PreferenceStore
    devices: Devices
    inbox: Inbox
    history: History
    api_keys: ApiKeys
    request_limits: RequestLimits
    statistics: Statistics
    cancels: Cancels
    parked: ParkedStore
    outcomes: OutcomePublisher
    explainer: Callable[[], Explainer]
    forget: ForgetUser
    receipt_readers: ReceiptReaders
    take_report: TakeReport
    further_metrics: Collector | None = None
    tracer: Tracer = NO_TRACER
