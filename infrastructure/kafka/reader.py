"""Reading topics as a member of a group, or alone from the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from infrastructure.kafka.client import group_config, reader_config
from infrastructure.kafka.commits import Commits
from infrastructure.kafka.fetched import (
    ClientGaveUpError,
    Partition,
    check_parts,
    committed_offsets,
    kafka_errors,
    parts_of,
    records_of,
    steps_of,
)
from infrastructure.kafka.records import Record

__all__ = ["GroupReader", "LeftoverReader", "Partition", "TailReader"]

_log = structlog.get_logger()

#: Given the partitions and their committed offsets (-1: none), where to start in each.
OnAssigned = Callable[[Mapping[Partition, int]], Mapping[Partition, int]]
OnRevoked = Callable[[Sequence[Partition]], None]

_CALL_TIMEOUT_S = 10.0
#: How long taking over partitions is tried. Less than a member may take between two polls (5 minutes).
_TAKE_OVER_S = 60.0
_TAKE_OVER_PAUSE_S = 0.5
_LEFTOVER_READ = 1000
_ENDS = {"enable.partition.eof": True}
#: What the client gives up with where the brokers have no KIP-848 groups.
_NO_PROTOCOL = tuple(
    KafkaError(code).str()
    for code in (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE)  # noqa: SLF001 - a public name
)


class GroupReader:
    """A member of a consumer group. Offsets are committed only by `commit`.

    Every method but `close` is for one thread. Partitions come and go within `read` and `keep_place` only.
    """

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Sequence[str],
        *,
        on_assigned: OnAssigned | None = None,
        on_revoked: OnRevoked | None = None,
    ) -> None:
        self._settings = settings
        self._group = group
        self._topics = list(topics)
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self.assigned: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._gone: set[Partition] = set()
        self._counts: dict[str, int] = {}
        self._commits = Commits(self.assigned)
        # A callback must not call what waits on the client that called it: its next callback would abort the process.
        self._asking = Consumer(reader_config(settings, group)) if on_assigned is not None else None
        self._consumer = self._join(is_classic=settings.kafka_group_protocol == "classic")

    def read(self, limit: int, timeout_s: float) -> list[Record]:
        """What has arrived, waiting up to `timeout_s` for the first record."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        self._gone.clear()  # what went before the client gave it is in order: it has come back, or is another's
        rest = self._consumer.consume(limit - 1, 0) if limit > 1 else []
        if (first.topic(), first.partition()) in self._gone:
            # Read before its partition went, which may be ours again by now, from an earlier offset on. The client
            # sorts out such records itself, but only within one call.
            return records_of(rest)
        try:
            return records_of([first, *rest])
        except ClientGaveUpError as error:
            if self._settings.kafka_group_protocol != "auto" or not any(text in str(error) for text in _NO_PROTOCOL):
                raise
            _log.info("group_protocol_classic", group=self._group)
            self._consumer.close()
            self._consumer = self._join(is_classic=True)
            return []

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit next offsets to read, and wait; those of partitions that are not ours any more are left out.

        Raises StoreUnavailableError: what was not taken is committed together with the next, which may be nothing. Call
        `read` or `keep_place` in between, for a member that was put out of its group learns of it there.
        """
        wanted = self._commits.take(offsets)
        if not wanted:  # to the client that is an error
            return
        try:
            with kafka_errors("Kafka did not take the offsets"):
                check_parts(self._consumer.commit(offsets=parts_of(wanted), asynchronous=False))
        except StoreUnavailableError:
            self._commits.put_back(wanted)
            raise

    def commit_soon(self, offsets: Mapping[Partition, int]) -> None:
        """Commit next offsets to read, without waiting. What turns out not to be taken is tried again with the next."""
        wanted = self._commits.take(offsets)
        if not wanted:
            return
        try:
            with kafka_errors("Kafka did not take the offsets"):
                self._consumer.commit(offsets=parts_of(wanted), asynchronous=True)
        except StoreUnavailableError:
            self._commits.put_back(wanted)

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

    def _join(self, *, is_classic: bool) -> Consumer:
        config = group_config(self._settings, self._group, is_classic=is_classic)
        consumer = Consumer(config | {"on_commit": self._commits.told})
        consumer.subscribe(self._topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)
        return consumer

    def _assign(self, consumer: Consumer, parts: list[TopicPartition]) -> None:
        self.assigned.update((part.topic, part.partition) for part in parts)
        if self._on_assigned is None or self._asking is None or not parts:
            return
        starts = self._starts(self._on_assigned, self._asking, parts)
        for part in parts:
            start = starts.get((part.topic, part.partition), -1)
            if start >= 0:
                part.offset = start
        consumer.incremental_assign(parts)

    def _starts(
        self, on_assigned: OnAssigned, asking: Consumer, parts: list[TopicPartition]
    ) -> Mapping[Partition, int]:
        """Where to begin. Kafka may be electing leaders just now, so that it is asked again for a while.

        Raises RuntimeError: without a start there is no reading, and nobody asks again. End, and begin anew.
        """
        deadline = time.monotonic() + _TAKE_OVER_S
        while True:
            try:
                with kafka_errors("Kafka did not tell what is committed"):
                    topics = asking.list_topics(timeout=_CALL_TIMEOUT_S).topics
                    committed = committed_offsets(asking, parts, _CALL_TIMEOUT_S)
                self._counts = {name: len(about.partitions) for name, about in topics.items()}
                return on_assigned({(part.topic, part.partition): max(part.offset, -1) for part in committed})
            except StoreUnavailableError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"partitions could not be taken over: {error}") from error
                _log.warning("take_over_waits", group=self._group, error=str(error))
                time.sleep(_TAKE_OVER_PAUSE_S)

    def _revoke(self, consumer: Consumer, parts: list[TopicPartition]) -> None:
        """Before the partitions go, what was not taken while the group was at odds: it is the last moment."""
        try:
            self.commit({})
        except StoreUnavailableError as error:
            _log.warning("offsets_given_up", group=self._group, error=str(error))
        self._lose(consumer, parts)

    def _lose(self, _consumer: Consumer, parts: list[TopicPartition]) -> None:
        """They are gone already, and somebody else's."""
        keys = [(part.topic, part.partition) for part in parts]
        self.resume(keys)  # the client keeps a pause over a partition's going and coming back: it would never be read
        self.assigned.difference_update(keys)
        self._gone.update(keys)
        self._commits.forget(keys)
        if self._on_revoked is not None:
            self._on_revoked(keys)


class TailReader:
    """Reads all partitions of one topic from its beginning, outside any group. Raises StoreUnavailableError."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._consumer = Consumer(reader_config(settings, f"{topic}.tail") | _ENDS)
        self._topic = topic
        with kafka_errors(f"Kafka did not tell of {topic}"):
            metadata = self._consumer.list_topics(topic, timeout=_CALL_TIMEOUT_S).topics.get(topic)
        if metadata is None or metadata.error is not None or not metadata.partitions:
            raise StoreUnavailableError(f"{topic} is not there")
        self._parts = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in metadata.partitions]
        self._consumer.assign(self._parts)
        self._position: dict[int, int] = {}

    def read(self, limit: int = 1000, timeout_s: float = 0.0) -> list[Record]:
        """What has arrived, in order within a partition; up to `limit` records."""
        records = []
        for (_, partition), reached, record in steps_of(self._consumer.consume(limit, timeout_s)):
            self._position[partition] = reached
            if record is not None:
                records.append(record)
        return records

    def ends(self) -> dict[int, int]:
        """The end of each partition now, those that are empty left out."""
        ends = {}
        with kafka_errors(f"Kafka did not tell where {self._topic} ends"):
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
        self._consumer = Consumer(reader_config(settings, group) | _ENDS)

    def read_all(self, topics: Sequence[str], start: Callable[[Partition, int], int], timeout_s: float) -> list[Record]:
        """All records from `start(partition, committed)` to the ends there are now. Raises StoreUnavailableError."""
        ends: dict[Partition, int] = {}
        parts = []
        with kafka_errors("Kafka did not tell what is left"):
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
        return committed_offsets(self._consumer, parts, _CALL_TIMEOUT_S)

    def _read_to(self, ends: dict[Partition, int], timeout_s: float) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + timeout_s
        while ends:
            if time.monotonic() > deadline:
                raise StoreUnavailableError(f"what is left could not be read in {timeout_s} s")
            for key, reached, record in steps_of(self._consumer.consume(_LEFTOVER_READ, 0.1)):
                if record is not None and record.offset < ends.get(key, 0):
                    records.append(record)
                if reached >= ends.get(key, reached + 1):
                    del ends[key]
        return records
