"""The embedded broker keeps about 5 MB a partition and drops the oldest silently: nobody may write beyond that."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.lane import OUTCOMES_TOPIC
from app.settings import Settings
from infrastructure.kafka.client import reader_config
from infrastructure.kafka.groups import group_of

#: Bytes of unread records in a partition above which nothing more is written (the broker keeps 5 MiB).
PARTITION_BYTES = 4 * 1024 * 1024
#: Outcomes come from several processes that do not see each other's, so that half is left for those under way.
OUTCOMES_BYTES = 2 * 1024 * 1024
_REFRESH_S = 0.2
_REFRESH_RECORDS = 500
_CALL_TIMEOUT_S = 2.0
_OVERHEAD_BYTES = 200


class Guard:
    """Counts what is unread in each partition (high watermark less committed offset) times the size of a record.

    Only topics with a consumer group are bounded; `notifications.finished` may lose its oldest records at no harm.
    Safe to use from several threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._topics: dict[str, _Topic] = {}
        self._readers: dict[str, Consumer] = {}

    def admit(self, topic: str, size: int) -> None:
        """Count a record that is about to be written. Raises TopicFullError where there is no room for it."""
        group = group_of(topic)
        if group is None:
            return
        with self._lock:
            state = self._topics.setdefault(topic, _Topic())
            if state.is_stale:
                self._refresh(topic, group, state)
            if state.unread_bytes + size > _bound(topic):
                raise TopicFullError(topic)
            state.add(size + _OVERHEAD_BYTES)

    def has_room(self, topic: str) -> bool:
        """Whether a record would be admitted now."""
        try:
            with self._lock:
                group = group_of(topic)
                state = self._topics.setdefault(topic, _Topic())
                if group is not None and state.is_stale:
                    self._refresh(topic, group, state)
                return state.unread_bytes < _bound(topic)
        except StoreUnavailableError:
            return False

    def _refresh(self, topic: str, group: str, state: _Topic) -> None:
        reader = self._readers.get(group)
        if reader is None:
            reader = self._readers[group] = Consumer(reader_config(self._settings, group))
        try:
            metadata = reader.list_topics(topic, timeout=_CALL_TIMEOUT_S).topics[topic]
            parts = [TopicPartition(topic, number) for number in metadata.partitions]
            unread = 0
            for part in reader.committed(parts, timeout=_CALL_TIMEOUT_S):
                low, high = reader.get_watermark_offsets(part, timeout=_CALL_TIMEOUT_S)
                unread = max(unread, high - max(part.offset, low))
        except KafkaException as error:
            raise StoreUnavailableError(f"Kafka did not say how full {topic} is") from error
        state.set_unread(unread)


class _Topic:
    """What is known of one topic."""

    def __init__(self) -> None:
        self._fullest = 0
        self._since = 0
        self._mean_bytes = 1500.0
        self._read_at = -_REFRESH_S

    @property
    def is_stale(self) -> bool:
        """Whether the broker is to be asked again."""
        return time.monotonic() - self._read_at > _REFRESH_S or self._since >= _REFRESH_RECORDS

    @property
    def unread_bytes(self) -> float:
        """Bytes in the fullest partition, as if all that was written since had gone there."""
        return (self._fullest + self._since) * self._mean_bytes

    def add(self, size: int) -> None:
        """Count a record written."""
        self._since += 1
        self._mean_bytes += (size - self._mean_bytes) * 0.02

    def set_unread(self, fullest: int) -> None:
        """Take over what the broker said."""
        self._fullest, self._since, self._read_at = fullest, 0, time.monotonic()


def _bound(topic: str) -> int:
    return OUTCOMES_BYTES if topic == OUTCOMES_TOPIC else PARTITION_BYTES
