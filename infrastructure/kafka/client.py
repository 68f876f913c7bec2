"""How every Kafka client of this service is set up."""

from __future__ import annotations

import logging
import time
from typing import Any

from app.settings import Settings

_QUIET_S = 30.0


class _RateLimited(logging.Filter):
    """Lets one line per text prefix and `_QUIET_S` through: librdkafka writes one per connection attempt."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        kind = record.getMessage()[:24]
        now = time.monotonic()
        if now - self._last.get(kind, -_QUIET_S) < _QUIET_S:
            return False
        self._last[kind] = now
        return True


def kafka_logger() -> logging.Logger:
    """The logger that every client writes to."""
    logger = logging.getLogger("kafka")
    if not logger.filters:
        logger.addFilter(_RateLimited())
        logger.setLevel(logging.ERROR)
    return logger


def producer_config(settings: Settings, *, timeout_s: float, linger_ms: int = 1) -> dict[str, Any]:
    """An idempotent producer with acks=all whose records are given up after `timeout_s`."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "message.timeout.ms": int(timeout_s * 1000),
        "linger.ms": linger_ms,
        "compression.type": "lz4",
        "message.max.bytes": 1_000_000,
        "socket.keepalive.enable": True,
        "allow.auto.create.topics": settings.profile == "embedded",
        "logger": kafka_logger(),
    }


def reader_config(settings: Settings, group: str) -> dict[str, Any]:
    """A consumer that commits only what it is told to."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": settings.kafka_fetch_wait_ms,
        "socket.keepalive.enable": True,
        "allow.auto.create.topics": settings.profile == "embedded",
        "logger": kafka_logger(),
    }


def group_config(settings: Settings, group: str) -> dict[str, Any]:
    """A member of a KIP-848 group, with queues small enough that backlogs stay in the broker."""
    return reader_config(settings, group) | {
        "group.protocol": "consumer",
        "queued.max.messages.kbytes": 8192,
        "fetch.message.max.bytes": 1_000_000,
        "max.poll.interval.ms": 300_000,
    }
