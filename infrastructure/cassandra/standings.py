"""What counts are counted from: the head of each outcome, in parts of an hour, and marks of what changed.

A **part** is a minute of the hour of acceptance times a quarter of the deliveries, so that what was counted stays
right but for the few parts that something was added to. An hour's mark is written when its parts' are acknowledged.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.domain.outcome import Outcome
from app.domain.standing import standing
from app.domain.statistics import DAY_MS, HOUR_MS
from infrastructure.cassandra.batches import Write
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.marks import Marker
from infrastructure.cassandra.rows import accepted_ms
from infrastructure.cassandra.times import key_us

_MINUTE_MS = 60_000
_SHARDS = 4

_INSERT = (
    "INSERT INTO standings (hour_ms, part, delivery_id, pass_no, rank, at_ms, channel, status, reason, event_type)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
)
OF_HOUR = "h"
OF_DAY = "d"


class Part(NamedTuple):
    """A part of an hour (`OF_HOUR`), or an hour of a day (`OF_DAY`). `start_ms`: of the hour, of the day."""

    span: str
    start_ms: int
    number: int


def part_of(outcome: Outcome) -> Part:
    """Where a delivery is counted."""
    hour_ms, rest_ms = divmod(accepted_ms(outcome), HOUR_MS)
    shard = zlib.crc32(outcome.delivery_id.encode()) % _SHARDS
    return Part(OF_HOUR, hour_ms * HOUR_MS, rest_ms // _MINUTE_MS * _SHARDS + shard)


def hour_of(hour_ms: int) -> Part:
    """An hour as a part of its day."""
    return Part(OF_DAY, hour_ms - hour_ms % DAY_MS, hour_ms % DAY_MS // HOUR_MS)


class Standings:
    """Writes the heads and the marks."""

    def __init__(self, client: Client, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._marker = Marker(client, uuid.uuid4().hex, ttl_s)

    def writes(self, outcomes: Sequence[Outcome]) -> list[Write]:
        """The rows, those of a partition one after the other. Outcomes of events as a whole are not counted."""
        counted = sorted((part_of(one), number) for number, one in enumerate(outcomes) if one.delivery_id)
        return [self._row(part, outcomes[number]) for part, number in counted]

    def mark(self, outcomes: Iterable[Outcome]) -> set[Part]:
        """Say that these are there; to be called once they are. The parts of hours that they are in."""
        parts = {part_of(one) for one in outcomes if one.delivery_id}
        self._marker.mark(sorted(parts))
        self._marker.mark({hour_of(part.start_ms) for part in parts})
        return parts

    def _row(self, part: Part, one: Outcome) -> Write:
        head = standing(one.pass_no, one.status, one.at_ms, one.channel, one.reason)
        us = key_us(accepted_ms(one))
        values = (part.start_ms, part.number, one.delivery_id, *head, one.event_type, us, self._ttl_s)
        return self._client.bind(_INSERT, values)
