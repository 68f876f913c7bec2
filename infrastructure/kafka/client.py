"""How every Kafka client of this service is set up."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from app.settings import Settings

_QUIET_S = 30.0
_METADATA_MS = 10_000
#: Partitions move one by one here, too. A member that died is noticed after the session.
_CLASSIC = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 8000,
    "heartbeat.interval.ms": 2000,
}


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
        # Commands set up no log: Python would print what is logged, beside the one line that they end with.
        logger.addHandler(logging.NullHandler())
    return logger


def connection_config(settings: Settings) -> dict[str, Any]:
    """What every client needs to reach the brokers, of whichever kind it is."""
    given: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "security.protocol": settings.kafka_security_protocol,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password,
        "ssl.ca.location": _path(settings.kafka_ssl_ca),
        "ssl.certificate.location": _path(settings.kafka_ssl_certificate),
        "ssl.key.location": _path(settings.kafka_ssl_key),
        "ssl.key.password": settings.kafka_ssl_key_password,
        "socket.keepalive.enable": True,
        # Else a client that was told of a leader from before brokers went may believe in it for five minutes.
        "topic.metadata.refresh.interval.ms": _METADATA_MS,
        "logger": kafka_logger(),
    }
    return {name: value for name, value in given.items() if value != ""}


def producer_config(settings: Settings, *, timeout_s: float, linger_ms: int = 1) -> dict[str, Any]:
    """An idempotent producer with acks=all whose records are given up after `timeout_s`."""
    return connection_config(settings) | {
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "message.timeout.ms": int(timeout_s * 1000),
        "linger.ms": linger_ms,
        "compression.type": "lz4",
        "message.max.bytes": 1_000_000,
        "allow.auto.create.topics": settings.profile == "embedded",
    }


def reader_config(settings: Settings, group: str) -> dict[str, Any]:
    """A consumer that commits only what it is told to."""
    return connection_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": settings.kafka_fetch_wait_ms,
        "allow.auto.create.topics": settings.profile == "embedded",
    }


def group_config(settings: Settings, group: str, *, is_classic: bool) -> dict[str, Any]:
    """A member of a group, with queues small enough that backlogs stay in the broker.

    Of a KIP-848 group (its session and heartbeat times are the brokers'), or of a classic one.
    """
    return (
        reader_config(settings, group)
        | {
            "queued.max.messages.kbytes": 8192,
            "fetch.message.max.bytes": 1_000_000,
            "max.poll.interval.ms": 300_000,
        }
        | (_CLASSIC if is_classic else {"group.protocol": "consumer"})
    )


def _path(path: Path | None) -> str:
    return "" if path is None else str(path)
