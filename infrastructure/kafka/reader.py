"""Reading topics as a member of a group, or alone from the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from infrastructure.kafka.client import group_config, reader_config
from infrastructure.kafka.records import Record, from_message

Partition = tuple[str, int]
#: Given the partitions and their committed offsets (-1: none), where to start in each.
OnAssigned = Callable[[Mapping[Partition, int]], Mapping[Partition, int]]
OnRevoked = Callable[[Sequence[Partition]], None]

_CALL_TIMEOUT_S = 10.0
_LEFTOVER_READ = 1000


class GroupReader:
    """A member of a consumer group. Offsets are committed only by `commit`."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> None:
        self._consumer = Consumer(group_config(settings, group))
        # A callback must not call what waits on the client that called it: its next callback would abort the process.
        self._asking = Consumer(reader_config(settings, group)) if on_assigned is not None else None
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self.assigned: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._counts: dict[str, int] = {}
        self._consumer.subscribe(list(topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)

    def read(self, limit: int, timeout_s: float) -> list[Record]:
        """What has arrived, waiting up to `timeout_s` for the first record."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        rest = self._consumer.consume(limit - 1, 0) if limit > 1 else []
        return _records([first, *rest])

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit next offsets to read, and wait. Raises StoreUnavailableError."""
        if not offsets:  # to the client that is an error
            return
        with _kafka_errors("Kafka did not take the offsets"):
            self._consumer.commit(offsets=_parts(offsets), asynchronous=False)

    def commit_soon(self, offsets: Mapping[Partition, int]) -> None:
        """Commit next offsets to read, without waiting; a lost commit only means reading again."""
        if not offsets:
            return
        self._consumer.commit(offsets=_parts(offsets), asynchronous=True)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read no more from these until `resume`."""
        wanted = [part for part in partitions if part in self.assigned and part not in self._paused]
        if wanted:
            self._consumer.pause([TopicPartition(*part) for part in wanted])
            self._paused.update(wanted)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Read from these again."""
        wanted = [part for part in partitions if part in self._paused]
        if wanted:
            self._consumer.resume([TopicPartition(*part) for part in wanted])
            self._paused.difference_update(wanted)

    def keep_place(self) -> list[Record]:
        """Poll without reading on, so that the group keeps this member while something else is waited for.

        What arrives nevertheless, at most one record, is the caller's.
        """
        resting = sorted(self.assigned - self._paused)
        self.pause(resting)
        records = self.read(1, 0.0)
        self.resume(resting)
        return records

    def backlog(self, partitions: Sequence[Partition]) -> int:
        """Records in these partitions behind what was read, by the last fetch's news (no call to the broker)."""
        behind = 0
        positions = self._consumer.position([TopicPartition(*part) for part in partitions])
        for part in positions:
            _, high = self._consumer.get_watermark_offsets(part, cached=True)
            if part.offset >= 0 and high > 0:
                behind += max(0, high - part.offset)
        return behind

    def partition_count(self, topic: str) -> int:
        """How many partitions the topic had when this member was last assigned some (0: unknown, no `on_assigned`)."""
        return self._counts.get(topic, 0)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        if self._asking is not None:
            self._asking.close()

    def _assign(self, consumer: Consumer, parts: list[TopicPartition]) -> None:
        self.assigned.update((part.topic, part.partition) for part in parts)
        if self._on_assigned is None or self._asking is None:
            return
        try:
            topics = self._asking.list_topics(timeout=_CALL_TIMEOUT_S).topics
            self._counts = {name: len(about.partitions) for name, about in topics.items()}
            committed = self._asking.committed(parts, timeout=_CALL_TIMEOUT_S) if parts else []
            starts = self._on_assigned({(p.topic, p.partition): max(p.offset, -1) for p in committed})
        except (StoreUnavailableError, KafkaException) as error:
            # Without a start there is no reading, and nobody asks again: end, and begin anew.
            raise RuntimeError(f"partitions could not be taken over: {error}") from error
        for part in parts:
            start = starts.get((part.topic, part.partition), -1)
            if start >= 0:
                part.offset = start
        consumer.incremental_assign(parts)

    def _revoke(self, _consumer: Consumer, parts: list[TopicPartition]) -> None:
        keys = [(part.topic, part.partition) for part in parts]
        self.assigned.difference_update(keys)
        self._paused.difference_update(keys)
        if self._on_revoked is not None:
            self._on_revoked(keys)


class TailReader:
    """Reads all partitions of one topic from its beginning, outside any group. Raises StoreUnavailableError."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._consumer = Consumer(reader_config(settings, f"{topic}.tail"))
        self._topic = topic
        with _kafka_errors(f"Kafka did not tell of {topic}"):
            metadata = self._consumer.list_topics(topic, timeout=_CALL_TIMEOUT_S).topics[topic]
        if metadata.error is not None or not metadata.partitions:
            raise StoreUnavailableError(f"{topic} is not there")
        self._parts = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in metadata.partitions]
        self._consumer.assign(self._parts)
        self._position: dict[int, int] = {}

    def read(self, limit: int = 1000, timeout_s: float = 0.0) -> list[Record]:
        """What has arrived."""
        messages = self._consumer.consume(limit, timeout_s)
        records = _records(messages)
        for record in records:
            self._position[record.partition] = record.offset + 1
        return records

    def ends(self) -> dict[int, int]:
        """The end of each partition now, those that are empty left out."""
        ends = {}
        with _kafka_errors(f"Kafka did not tell where {self._topic} ends"):
            for part in self._parts:
                low, high = self._consumer.get_watermark_offsets(part, timeout=_CALL_TIMEOUT_S)
                if high > low:
                    ends[part.partition] = high
        return ends

    def read_to_end(self, apply: Callable[[Record], None], timeout_s: float) -> None:
        """Apply all that is there by now. Raises StoreUnavailableError where it takes longer than `timeout_s`."""
        ends = self.ends()
        deadline = time.monotonic() + timeout_s
        while any(self._position.get(number, 0) < end for number, end in ends.items()):
            if time.monotonic() > deadline:
                raise StoreUnavailableError(f"{self._topic} could not be read to its end in {timeout_s} s")
            for record in self.read(timeout_s=0.05):
                apply(record)

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


class LeftoverReader:
    """Reads what a group has not committed, outside it: when its members have gone."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._consumer = Consumer(reader_config(settings, group))

    def read_all(self, topics: Sequence[str], start: Callable[[Partition, int], int], timeout_s: float) -> list[Record]:
        """All records from `start(partition, committed)` to the ends there are now. Raises StoreUnavailableError."""
        ends: dict[Partition, int] = {}
        parts = []
        with _kafka_errors("Kafka did not tell what is left"):
            for part in self._committed(topics):
                low, high = self._consumer.get_watermark_offsets(part, timeout=_CALL_TIMEOUT_S)
                part.offset = max(low, start((part.topic, part.partition), max(part.offset, -1)))
                if part.offset < high:
                    ends[part.topic, part.partition] = high
                    parts.append(part)
        self._consumer.assign(parts)
        return self._read_to(ends, timeout_s)

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def _committed(self, topics: Sequence[str]) -> list[TopicPartition]:
        known = self._consumer.list_topics(timeout=_CALL_TIMEOUT_S).topics
        parts = [
            TopicPartition(topic, number) for topic in topics if topic in known for number in known[topic].partitions
        ]
        return self._consumer.committed(parts, timeout=_CALL_TIMEOUT_S) if parts else []

    def _read_to(self, ends: dict[Partition, int], timeout_s: float) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + timeout_s
        while ends:
            if time.monotonic() > deadline:
                raise StoreUnavailableError(f"what is left could not be read in {timeout_s} s")
            for record in _records(self._consumer.consume(_LEFTOVER_READ, 0.1)):
                key = (record.topic, record.partition)
                if record.offset < ends.get(key, 0):
                    records.append(record)
                if record.offset + 1 >= ends.get(key, 0):
                    ends.pop(key, None)
        return records


@contextmanager
def _kafka_errors(what: str) -> Iterator[None]:
    """Turn what the client raises into StoreUnavailableError, the cause kept."""
    try:
        yield
    except KafkaException as error:
        raise StoreUnavailableError(f"{what}: {error.args[0].name()}") from error


def _records(messages: Sequence[Message]) -> list[Record]:
    records = []
    for message in messages:
        error = message.error()
        if error is None:
            records.append(from_message(message))
        elif error.fatal():
            # This client never recovers: the process has to end and be started again.
            raise RuntimeError(f"the Kafka client gave up: {error.name()}")
    return records


def _parts(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
