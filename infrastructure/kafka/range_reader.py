"""Reading parts of topics from outside all groups: between offsets, of a time, or what a group has not committed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from infrastructure.kafka.client import reader_config
from infrastructure.kafka.fetched import Partition, committed_offsets, steps_of
from infrastructure.kafka.records import Record

#: First offset, and the one behind the last, of each partition; empty ones are left out.
Ranges = Mapping[Partition, tuple[int, int]]

_CALL_TIMEOUT_S = 10.0
_STALL_S = 30.0
_READ = 500
_READ_S = 0.2


class RangeReader:
    """Streams records. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = Consumer(reader_config(settings, "notify-operator") | {"enable.partition.eof": True})
        self._members: dict[str, Consumer] = {}

    def whole(self, topic: str) -> Ranges:
        """All that is on the topic now."""
        return self._clipped({(part.topic, part.partition): 0 for part in self._parts([topic])})

    def uncommitted(self, group: str, topics: Sequence[str]) -> Ranges:
        """What the group has not committed of these topics, up to their ends now."""
        return self._clipped(self.committed(group, topics))

    def committed(self, group: str, topics: Sequence[str]) -> Mapping[Partition, int]:
        """Where the group goes on in each partition: 0 where it has committed nothing."""
        if group not in self._members:
            self._members[group] = Consumer(reader_config(self._settings, group))
        parts = self._parts(topics)
        try:
            found = committed_offsets(self._members[group], parts, _CALL_TIMEOUT_S)
        except KafkaException as error:
            raise StoreUnavailableError(f"Kafka did not say what {group} has committed") from error
        return {(part.topic, part.partition): max(0, part.offset) for part in found}

    def within(self, topic: str, from_ms: int, to_ms: int) -> Ranges:
        """Where records of that time are; others may be among them.

        The embedded broker cannot find offsets by time: there it is all that the topic has, which is not much.
        """
        whole = self.whole(topic)
        if self._settings.profile == "embedded":
            return whole
        starts, ends = self._at(whole, from_ms), self._at(whole, to_ms)
        return {part: (starts[part], ends[part]) for part in whole if starts[part] < ends[part]}

    def read(self, ranges: Ranges) -> Iterator[list[Record]]:
        """The records, as they come: in order within a partition."""
        ends = {part: end for part, (_, end) in ranges.items()}
        self._consumer.assign([TopicPartition(*part, start) for part, (start, _) in ranges.items()])
        moved_at_s = time.monotonic()
        while ends:
            steps = list(steps_of(self._consumer.consume(_READ, _READ_S)))
            if steps:
                moved_at_s = time.monotonic()
            elif time.monotonic() > moved_at_s + _STALL_S:
                raise StoreUnavailableError(f"Kafka gave nothing for {_STALL_S:g} s where there is something to read")
            wanted = [record for part, _, record in steps if record is not None and record.offset < ends.get(part, 0)]
            for part, reached, _ in steps:
                if reached >= ends.get(part, reached + 1):
                    del ends[part]
            if wanted:
                yield wanted
        self._consumer.unassign()

    def close(self) -> None:
        """Give the connections back."""
        for consumer in (self._consumer, *self._members.values()):
            consumer.close()

    def _parts(self, topics: Sequence[str]) -> list[TopicPartition]:
        try:
            known = self._consumer.list_topics(timeout=_CALL_TIMEOUT_S).topics
        except KafkaException as error:
            raise StoreUnavailableError("Kafka did not tell of its topics") from error
        return [
            TopicPartition(topic, number) for topic in topics if topic in known for number in known[topic].partitions
        ]

    def _clipped(self, starts: Mapping[Partition, int]) -> Ranges:
        """From there, or where the topic begins by now, to its end."""
        ranges = {}
        try:
            for part, start in starts.items():
                low, high = self._consumer.get_watermark_offsets(TopicPartition(*part), timeout=_CALL_TIMEOUT_S)
                if max(low, start) < high:
                    ranges[part] = (max(low, start), high)
        except KafkaException as error:
            raise StoreUnavailableError("Kafka did not say where its topics end") from error
        return ranges

    def _at(self, whole: Ranges, at_ms: int) -> Mapping[Partition, int]:
        """The first offset of that time or later in each partition; its end where there is none."""
        asked = [TopicPartition(*part, at_ms) for part in whole]
        try:
            found = self._consumer.offsets_for_times(asked, timeout=_CALL_TIMEOUT_S) if asked else []
        except KafkaException as error:
            raise StoreUnavailableError("Kafka did not find offsets by time") from error
        return {
            (part.topic, part.partition): part.offset if part.offset >= 0 else whole[part.topic, part.partition][1]
            for part in found
        }
