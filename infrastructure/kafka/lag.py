"""How much of a topic its group has not committed, and how old the oldest of it is: asked of Kafka, from outside."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, Message, TopicPartition
from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from infrastructure.kafka.client import reader_config
from infrastructure.kafka.fetched import committed_offsets
from infrastructure.kafka.groups import group_of

#: Longest wait for them; a fresh client on a busy machine needs seconds for its first.
_PEEK_S = 5.0
_PEEK_BYTES = 64 * 1024


class Lag(Struct, frozen=True):
    """Of one topic. `oldest_s` is 0 where nothing waits."""

    records: int = 0
    oldest_s: float = 0.0


class LagReader:
    """Reads no more than the first record of each partition that lags. Clients are made when it is first asked."""

    def __init__(self, settings: Settings, topics: Sequence[str], *, group: str = "") -> None:
        """`group`: whose lag it is where that is not the topics' own group."""
        self._settings = settings
        self._by_group: dict[str, list[str]] = {}
        for topic in topics:
            if reading := group or group_of(topic):
                self._by_group.setdefault(reading, []).append(topic)
        self._consumers: dict[str, Consumer] = {}

    def read(self) -> dict[str, Lag]:
        """Topic -> lag; topics that are not there are left out. Raises StoreUnavailableError."""
        lags: dict[str, Lag] = {}
        try:
            for group, topics in self._by_group.items():
                lags |= self._read_group(self._consumer(group), topics)
        except KafkaException as error:
            raise StoreUnavailableError("Kafka did not say what waits in it") from error
        return lags

    def close(self) -> None:
        """Give the connections back."""
        for consumer in self._consumers.values():
            consumer.close()

    def _consumer(self, group: str) -> Consumer:
        if group not in self._consumers:
            small = {"fetch.message.max.bytes": _PEEK_BYTES, "queued.min.messages": 1}
            self._consumers[group] = Consumer(reader_config(self._settings, group) | small)
        return self._consumers[group]

    def _read_group(self, consumer: Consumer, topics: Sequence[str]) -> dict[str, Lag]:
        timeout_s = self._settings.store_timeout_s
        known = consumer.list_topics(timeout=timeout_s).topics
        parts = [
            TopicPartition(topic, number) for topic in topics if topic in known for number in known[topic].partitions
        ]
        counts = dict.fromkeys((part.topic for part in parts), 0)
        firsts = []
        for part in committed_offsets(consumer, parts, timeout_s):
            low, high = consumer.get_watermark_offsets(part, timeout=timeout_s)
            first = max(part.offset, low)
            if first < high:
                counts[part.topic] += high - first
                firsts.append(TopicPartition(part.topic, part.partition, first))
        written_ms = _peek(consumer, firsts)
        now = now_ms()
        return {
            topic: Lag(count, max(0.0, (now - written_ms.get(topic, now)) / 1000)) for topic, count in counts.items()
        }


def _peek(consumer: Consumer, firsts: Sequence[TopicPartition]) -> dict[str, int]:
    """When the oldest of each topic's records at these places was written, Unix milliseconds."""
    oldest: dict[str, int] = {}
    missing = {(part.topic, part.partition) for part in firsts}
    if not missing:
        return oldest
    consumer.assign(list(firsts))
    deadline = time.monotonic() + _PEEK_S
    while missing and time.monotonic() < deadline:
        for message in consumer.consume(len(firsts), 0.05):
            key = (str(message.topic()), int(message.partition() or 0))
            if message.error() is None and key in missing:
                missing.discard(key)
                oldest[key[0]] = min(oldest.get(key[0], now_ms()), _written_ms(message))
    consumer.unassign()
    return oldest


def _written_ms(message: Message) -> int:
    kind, at_ms = message.timestamp()
    return now_ms() if kind == TIMESTAMP_NOT_AVAILABLE else int(at_ms)
