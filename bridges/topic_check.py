"""Whether Kafka keeps what it is promised to keep: looked at when a bridge starts, and logged where it does not."""

from __future__ import annotations

import structlog

from app.domain.errors import StoreUnavailableError
from app.domain.topics import Shortcoming, planned_topics, shortcomings
from app.settings import Settings
from infrastructure import wiring
from infrastructure.kafka.topics import Topics

_log = structlog.get_logger()


def warn_of_topics(settings: Settings) -> None:
    """Log what falls short, one event for each setting and what it is found as. Never fails: Kafka may be away."""
    if settings.profile == "embedded":
        return
    plans = planned_topics(settings.kafka_partitions, settings.kafka_replication, settings.kafka_retention_s)
    try:
        topics = Topics(settings, timeout_s=settings.store_timeout_s)
        found, brokers = topics.find([plan.name for plan in plans]), topics.brokers()
    except StoreUnavailableError as error:
        _log.warning("topics_not_checked", error=str(error))
        return
    alike: dict[tuple[str, str, str], list[str]] = {}
    for one in shortcomings(plans, found, brokers, wiring.catalogue(settings).max_ttl_s):
        alike.setdefault(_kind(one), []).append(one.where)
    for (setting, is_found, wanted), where in alike.items():
        _log.warning("topics_fall_short", setting=setting, found=is_found, wanted=wanted, where=where)


def _kind(one: Shortcoming) -> tuple[str, str, str]:
    return one.setting, one.found, one.wanted
