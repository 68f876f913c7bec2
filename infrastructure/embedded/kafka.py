"""The embedded Kafka: librdkafka's mock cluster, alone in its process, with the real protocol over TCP.

It keeps records in memory only: 4 partitions per topic, about 5 MB each, the oldest dropped silently beyond that.
"""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from types import FrameType

from confluent_kafka import KafkaException, Producer

from app.domain.errors import StoreUnavailableError
from app.domain.lane import ALL_TOPICS
from app.settings import Settings
from infrastructure.embedded.mock_cluster import START_S, MockCluster


def address_path(settings: Settings) -> Path:
    """The file with the bootstrap address, there while the broker runs."""
    return settings.state_dir / "kafka_address"


def run_broker(settings: Settings) -> None:
    """Run the broker until SIGTERM or SIGINT. Raises StoreUnavailableError where it does not come up."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    cluster = MockCluster()
    _make_topics(cluster.bootstrap)
    path = address_path(settings)
    _write(path, cluster.bootstrap)
    try:
        stopped.wait()
    finally:
        path.unlink(missing_ok=True)


def _make_topics(bootstrap: str) -> None:
    """Asking for a topic makes it; a group that subscribes to one that is not there waits for ever."""
    client = Producer({"bootstrap.servers": bootstrap}, logger=logging.getLogger("infrastructure.kafka"))
    try:
        for topic in ALL_TOPICS:
            client.list_topics(topic, timeout=START_S)
    except KafkaException as error:
        raise StoreUnavailableError("the embedded Kafka broker did not come up") from error


def _write(path: Path, address: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(address)
    fresh.replace(path)  # whoever reads it reads it whole
