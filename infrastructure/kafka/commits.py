"""Offsets that Kafka has not taken yet: what is not kept in mind here is committed only when its partition moves on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import KafkaError, TopicPartition

from infrastructure.kafka.fetched import Partition


class Commits:
    """Of one member of a group. `assigned` is the member's own set, which it changes."""

    def __init__(self, assigned: Collection[Partition]) -> None:
        self._assigned = assigned
        self._newest: dict[Partition, int] = {}
        self._refused: dict[Partition, int] = {}

    def take(self, offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        """What is to be committed now: these, and what was refused before; without partitions that have gone."""
        wanted = {part: offset for part, offset in {**self._refused, **offsets}.items() if part in self._assigned}
        self._newest.update(wanted)
        self._refused = {}
        return wanted

    def put_back(self, offsets: Mapping[Partition, int]) -> None:
        """They were not taken. Nothing goes back behind an offset that was given later."""
        self._refused.update((part, offset) for part, offset in offsets.items() if self._newest.get(part) == offset)

    def forget(self, partitions: Sequence[Partition]) -> None:
        """They are not this member's any more."""
        for part in partitions:
            self._newest.pop(part, None)
            self._refused.pop(part, None)

    def told(self, error: KafkaError | None, parts: Sequence[TopicPartition]) -> None:
        """The client's report of a commit without waiting."""
        refused = [part for part in parts if error is not None or part.error is not None]
        self.put_back({(part.topic, part.partition): part.offset for part in refused})
