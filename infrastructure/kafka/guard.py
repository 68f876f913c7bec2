"""The embedded broker keeps about 5 MB a partition and drops the oldest silently: nobody may write beyond that."""

from __future__ import annotations

import threading
import time
from collections import deque

from confluent_kafka import Consumer, KafkaException, TopicPartition

from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.meter import METER
from app.domain.metric_catalogue import GUARD_REFUSALS
from app.settings import Settings
from infrastructure.kafka.client import reader_config
from infrastructure.kafka.fetched import committed_offsets
from infrastructure.kafka.groups import group_of

#: Bytes of unread records in a partition above which nothing more is written (the broker keeps 5 MiB).
PARTITION_BYTES = 4 * 1024 * 1024
#: Outcomes come from several processes that do not see each other's, so that half is left for those under way.
OUTCOMES_BYTES = 2 * 1024 * 1024
#: What has to fit for a topic to have room: a batch's worth.
ROOM_BYTES = 256 * 1024
_REFRESH_S = 0.2
_REFRESH_RECORDS = 500
_CALL_TIMEOUT_S = 2.0
_OVERHEAD_BYTES = 200
_FIRST_MEAN_BYTES = 2000.0
_MEAN_WEIGHT = 0.02


class Guard:
    """Knows how many bytes of a topic are unread in its fullest partition, at most.

    Of this process's own records it knows size and place: they count from `admit` on, and once acknowledged in their
    partition until the group has committed them. Other processes' count as large as ours are in the mean. Only topics
    with a consumer group are bounded; `notifications.finished` may lose its oldest records at no harm. Safe to use
    from several threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._topics: dict[str, _Topic] = {}
        self._readers: dict[str, Consumer] = {}

    def admit(self, topic: str, size: int) -> None:
        """Count a record that is about to be written. Raises TopicFullError where there is no room for it.

        Each record that was admitted must be reported by `landed` or `given_up` with the same size.
        """
        group = group_of(topic)
        if group is None:
            return
        with self._lock:
            state = self._known(topic, group)
            if state.unread_bytes + size > _bound(topic):
                METER.count(GUARD_REFUSALS, (topic,))
                raise TopicFullError(topic)
            state.admit(size + _OVERHEAD_BYTES)

    def landed(self, topic: str, size: int, partition: int, offset: int) -> None:
        """An admitted record was acknowledged."""
        if group_of(topic) is not None:
            with self._lock:
                self._topics[topic].land(size + _OVERHEAD_BYTES, partition, offset)

    def given_up(self, topic: str, size: int) -> None:
        """An admitted record was not acknowledged."""
        if group_of(topic) is not None:
            with self._lock:
                self._topics[topic].give_up(size + _OVERHEAD_BYTES)

    def has_room(self, topic: str) -> bool:
        """Whether a batch's records would be admitted now."""
        group = group_of(topic)
        if group is None:
            return True
        try:
            with self._lock:
                return self._known(topic, group).unread_bytes + ROOM_BYTES <= _bound(topic)
        except StoreUnavailableError:
            return False

    def _known(self, topic: str, group: str) -> _Topic:
        """The topic by news that is not stale."""
        state = self._topics.setdefault(topic, _Topic())
        if state.is_stale:
            self._refresh(topic, group, state)
        return state

    def _refresh(self, topic: str, group: str, state: _Topic) -> None:
        if time.monotonic() - state.failed_at < _REFRESH_S:  # threads that stood in line for this need not wait, too
            raise StoreUnavailableError(f"Kafka did not say a moment ago how full {topic} is")
        reader = self._readers.get(group)
        if reader is None:
            reader = self._readers[group] = Consumer(reader_config(self._settings, group))
        try:
            metadata = reader.list_topics(topic, timeout=_CALL_TIMEOUT_S).topics[topic]
            parts = [TopicPartition(topic, number) for number in metadata.partitions]
            unread = {}
            for part in committed_offsets(reader, parts, _CALL_TIMEOUT_S):
                low, high = reader.get_watermark_offsets(part, timeout=_CALL_TIMEOUT_S)
                unread[part.partition] = max(part.offset, low), high
        except KafkaException as error:
            state.failed_at = time.monotonic()
            raise StoreUnavailableError(f"Kafka did not say how full {topic} is") from error
        state.take_over(unread)


class _Topic:
    """What is known of one topic. Sizes are bytes."""

    def __init__(self) -> None:
        self.failed_at = -_REFRESH_S
        self._read_at = -_REFRESH_S
        self._since = 0
        self._under_way = 0
        self._mean = _FIRST_MEAN_BYTES
        self._own: dict[int, deque[tuple[int, int]]] = {}
        self._own_bytes: dict[int, int] = {}
        self._others_bytes: dict[int, float] = {}

    @property
    def is_stale(self) -> bool:
        """Whether the broker is to be asked again."""
        return time.monotonic() - self._read_at > _REFRESH_S or self._since >= _REFRESH_RECORDS

    @property
    def unread_bytes(self) -> float:
        """Bytes in the fullest partition, as if all that is under way went there."""
        parts = self._own_bytes.keys() | self._others_bytes.keys()
        fullest = max((self._own_bytes.get(part, 0) + self._others_bytes.get(part, 0.0) for part in parts), default=0)
        return fullest + self._under_way

    def admit(self, size: int) -> None:
        """A record is under way."""
        self._since += 1
        self._under_way += size
        self._mean += (size - self._mean) * _MEAN_WEIGHT

    def land(self, size: int, partition: int, offset: int) -> None:
        """It has its place."""
        self._under_way -= size
        self._own.setdefault(partition, deque()).append((offset, size))
        self._own_bytes[partition] = self._own_bytes.get(partition, 0) + size

    def give_up(self, size: int) -> None:
        """It has none, as far as we know."""
        self._under_way -= size

    def take_over(self, unread: dict[int, tuple[int, int]]) -> None:
        """The broker's news: for each partition the first offset that is unread, and the end."""
        for partition, (first, end) in unread.items():
            own = self._own.setdefault(partition, deque())
            while own and own[0][0] < first:
                self._own_bytes[partition] -= own.popleft()[1]
            ours = sum(1 for offset, _ in own if offset < end)
            self._others_bytes[partition] = max(0, end - first - ours) * self._mean
        self._since, self._read_at = 0, time.monotonic()


def _bound(topic: str) -> int:
    return OUTCOMES_BYTES if topic == OUTCOMES_TOPIC else PARTITION_BYTES
