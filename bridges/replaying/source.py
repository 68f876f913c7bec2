"""The events of a time on `notifications.raw` and `.raw.low`, in chunks."""

from __future__ import annotations

from collections.abc import Iterator

from app.domain.lane import RAW_LOW_TOPIC, RAW_TOPIC
from app.settings import Settings
from infrastructure.kafka.range_reader import RangeReader
from infrastructure.kafka.reader import Partition
from infrastructure.kafka.records import Record

CHUNK = 2000
CHUNK_BYTES = 16 * 1024 * 1024


class RawEvents:
    """What was on the topics when this was made. `close` when done.

    `missing_until_ms`: where it turned out that a topic keeps nothing older although it had more, the time from which
    on it is whole (0: as far as is known nothing is missing).
    """

    def __init__(self, settings: Settings, from_ms: int, to_ms: int) -> None:
        self._reader = RangeReader(settings)
        self._from_ms = from_ms
        self._to_ms = to_ms
        self._wholes = {topic: self._reader.whole(topic) for topic in (RAW_TOPIC, RAW_LOW_TOPIC)}
        self._ranges = {topic: self._reader.within(topic, from_ms, to_ms) for topic in self._wholes}
        self.missing_until_ms = 0

    def chunks(self) -> Iterator[list[Record]]:
        """The records of the time, at most `CHUNK` of them, or about `CHUNK_BYTES`, at once."""
        chunk: list[Record] = []
        size = 0
        for record in self._records():
            chunk.append(record)
            size += len(record.value)
            if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def close(self) -> None:
        """Give the connection back."""
        self._reader.close()

    def _records(self) -> Iterator[Record]:
        for topic, ranges in self._ranges.items():
            begun: set[Partition] = set()
            for records in self._reader.read(ranges):
                for record in records:
                    part = (record.topic, record.partition)
                    if part not in begun:
                        begun.add(part)
                        self._note_missing(record, self._wholes[topic].get(part, (0, 0))[0])
                    if self._from_ms <= record.timestamp_ms < self._to_ms:
                        yield record

    def _note_missing(self, first: Record, low: int) -> None:
        if 0 < low == first.offset and first.timestamp_ms > self._from_ms:
            self.missing_until_ms = max(self.missing_until_ms, first.timestamp_ms)
