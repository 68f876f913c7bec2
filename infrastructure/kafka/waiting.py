"""What waits in Kafka: records that the group which reads a topic has not committed."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from infrastructure.kafka.client import reader_config
from infrastructure.kafka.fetched import committed_offsets
from infrastructure.kafka.groups import group_of


class WaitingRecords:
    """Counts them from outside the groups. `close` when done."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumers: dict[str, Consumer] = {}

    def count(self, topics: Sequence[str]) -> dict[str, int]:
        """Topic -> records; topics that no group has to read, or that are not there, are left out.

        Raises StoreUnavailableError.
        """
        by_group: dict[str, list[str]] = {}
        for topic in topics:
            if group := group_of(topic):
                by_group.setdefault(group, []).append(topic)
        counts: dict[str, int] = {}
        try:
            for group, read in by_group.items():
                counts |= self._count(group, read)
        except KafkaException as error:
            raise StoreUnavailableError("Kafka did not say what waits in it") from error
        return counts

    def close(self) -> None:
        """Give the connections back."""
        for consumer in self._consumers.values():
            consumer.close()

    def _count(self, group: str, topics: Sequence[str]) -> dict[str, int]:
        if group not in self._consumers:
            self._consumers[group] = Consumer(reader_config(self._settings, group))
        consumer, timeout_s = self._consumers[group], self._settings.store_timeout_s
        known = consumer.list_topics(timeout=timeout_s).topics
        parts = [
            TopicPartition(topic, number) for topic in topics if topic in known for number in known[topic].partitions
        ]
        counts: dict[str, int] = dict.fromkeys((part.topic for part in parts), 0)
        for part in committed_offsets(consumer, parts, timeout_s):
            low, high = consumer.get_watermark_offsets(part, timeout=timeout_s)
            counts[part.topic] += max(0, high - max(part.offset, low))
        return counts
