"""A Kafka broker for tests: librdkafka's mock cluster in this process, with the real protocol over TCP."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from app.domain.lane import ALL_TOPICS, FINISHED_TOPIC, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC
from app.domain.topics import planned_topics
from app.settings import Settings
from infrastructure import wiring
from infrastructure.kafka.client import kafka_logger
from infrastructure.kafka.records import Record, from_message
from infrastructure.kafka.topics import Topics
from infrastructure.sql.engine import shared_engine
from tests.support.redis_server import RedisServer

TIMEOUT_S = 10.0
TICK_S = 0.005
PARTITIONS = 4
RETENTION_S = 86_400.0


class KafkaBroker:
    """One cluster with all topics of the service. It keeps its address, and nothing over a stop."""

    raw, raw_low, outcomes, finished = RAW_TOPIC, RAW_LOW_TOPIC, OUTCOMES_TOPIC, FINISHED_TOPIC
    group = "readers"
    #: Settings beside the address, for those who use it.
    environ: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._is_stopped = False
        self._cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "logger": kafka_logger()})
        for topic in ALL_TOPICS:
            self._cluster.list_topics(topic, timeout=TIMEOUT_S)  # asking for a topic makes it
        [broker] = self._cluster.list_topics(timeout=TIMEOUT_S).brokers.values()
        self._connect(f"{broker.host}:{broker.port}")

    def _connect(self, address: str) -> None:
        self.address = address
        self._config: dict[str, Any] = {"bootstrap.servers": self.address, "logger": kafka_logger()}
        self._outsiders: dict[str, Consumer] = {}
        self._producer = Producer(self._config | {"linger.ms": 0, "partitioner": "murmur2_random"})
        self._reader = self._outsider("tests")

    def put(
        self,
        topic: str,
        value: bytes,
        *,
        key: str = "k",
        headers: Mapping[str, bytes] | None = None,
        partition: int = -1,
    ) -> None:
        """Hand a record over; `flush` waits until all are there."""
        self._producer.produce(topic, value, key, partition, headers=dict(headers or {}))

    def flush(self) -> None:
        """Wait until all records handed over are there."""
        assert self._producer.flush(TIMEOUT_S) == 0

    def records(self, topic: str) -> list[Record]:
        """All that is on the topic now, by partition and offset."""
        ends = {
            number: high
            for number, (low, high) in enumerate(map(self._watermarks, _parts(topic)))
            if high > max(low, 0)
        }
        self._reader.assign([part for part in _parts(topic) if part.partition in ends])
        found: list[Record] = []
        deadline = time.monotonic() + TIMEOUT_S
        while ends:
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for message in self._reader.consume(1000, 0.1):
                found.append(from_message(message))
                if found[-1].offset + 1 >= ends.get(found[-1].partition, 0):
                    ends.pop(found[-1].partition, None)
        self._reader.unassign()
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def written(self, topic: str) -> int:
        """How many records the topic ever had."""
        return sum(high for _, high in map(self._watermarks, _parts(topic)))

    def kept(self, topic: str) -> int:
        """How many of them it still has."""
        return sum(high - low for low, high in map(self._watermarks, _parts(topic)))

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Committed offsets of the group, partitions without one left out."""
        parts = self._outsider(group).committed(_parts(topic), timeout=TIMEOUT_S)
        return {part.partition: part.offset for part in parts if part.offset >= 0}

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Commit from outside the group."""
        parts = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
        self._outsider(group).commit(offsets=parts, asynchronous=False)

    def stop(self) -> None:
        """End it with all that it holds. Harmless where it has ended."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for consumer in self._outsiders.values():
            consumer.close()
        self._producer.purge()
        self._producer.close()
        self._end()

    def _end(self) -> None:
        self._cluster.close()

    def _outsider(self, group: str) -> Consumer:
        """Asks about a group without being in it."""
        if group not in self._outsiders:
            self._outsiders[group] = Consumer(
                self._config | {"group.id": group, "enable.auto.commit": False, "fetch.wait.max.ms": 5}
            )
        return self._outsiders[group]

    def _watermarks(self, part: TopicPartition) -> tuple[int, int]:
        low, high = self._reader.get_watermark_offsets(part, timeout=TIMEOUT_S)
        return low, high


class RealKafka(KafkaBroker):
    """The running real one, with topics and a group under names of this object's own, which `stop` removes."""

    environ: Mapping[str, str] = {
        "NOTIFY_PROFILE": "real",
        "NOTIFY_SECRET_KEY": "0f" * 32,
        "NOTIFY_DATABASE_URL": "sqlite:///unused.db",
        "NOTIFY_HISTORY_URL": "sqlite:///unused.db",
        "NOTIFY_KAFKA_FETCH_WAIT_MS": "20",
    }

    def __init__(self, address: str) -> None:
        self._is_stopped = False
        mark = f"test-{uuid.uuid4().hex[:8]}"
        wanted = (RAW_TOPIC, RAW_LOW_TOPIC, OUTCOMES_TOPIC, FINISHED_TOPIC)
        self.raw, self.raw_low, self.outcomes, self.finished = self._names = [f"{mark}-{name}" for name in wanted]
        self.group = mark
        self._topics = Topics(Settings.load({**self.environ, "NOTIFY_KAFKA_BOOTSTRAP": address}))
        planned = {plan.name: plan for plan in planned_topics(PARTITIONS, 3, RETENTION_S)}
        self._topics.make(
            [
                msgspec.structs.replace(planned[name], name=own, partitions=PARTITIONS)
                for name, own in zip(wanted, self._names, strict=True)
            ]
        )
        self._connect(address)
        eventually(self._has_leaders, "a leader of each partition that was made")

    def _has_leaders(self) -> bool:
        try:
            for name in self._names:
                self.written(name)
        except KafkaException:
            return False
        return True

    def _end(self) -> None:
        self._topics.remove(self._names)


def _parts(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]


def eventually(look: Callable[[], object], what: str, within_s: float = TIMEOUT_S) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, f"it never came: {what}"
        time.sleep(TICK_S)


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    """An empty broker of this test alone, which it may stop."""
    made = KafkaBroker()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def running_broker() -> Iterator[KafkaBroker]:
    """One broker for the whole run, with what other tests left on it; not to be stopped."""
    made = KafkaBroker()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with empty databases, to be copied: faster than migrating each time."""
    folder = tmp_path_factory.mktemp("migrated")
    settings = Settings.load({"NOTIFY_STATE_DIR": str(folder)})
    wiring.migrate_stores(settings)
    _dispose(settings)
    return folder


@pytest.fixture
def service(tmp_path: Path, migrated: Path, broker: KafkaBroker, redis_server: RedisServer) -> Iterator[Settings]:
    """Settings of a service whose stores are all real, empty and this test's own (Redis is the run's, emptied)."""
    settings = service_settings(tmp_path, migrated, broker, redis_server)
    yield settings
    wiring.close()
    _dispose(settings)


def service_settings(folder: Path, migrated: Path, broker: KafkaBroker, redis: RedisServer, **given: str) -> Settings:
    """Settings over these stores; `given` are variables without their prefix."""
    state = folder / "state"
    shutil.copytree(migrated, state, dirs_exist_ok=True)
    values = {
        "state_dir": str(state),
        "kafka_bootstrap": broker.address,
        "broker_url": redis.url(0),
        "redis_url": redis.url(1),
        **given,
    }
    return Settings.load({f"NOTIFY_{name.upper()}": value for name, value in values.items()})


def _dispose(settings: Settings) -> None:
    for url in (settings.database_url, settings.history_url):
        shared_engine(url, settings.store_timeout_s).dispose()
