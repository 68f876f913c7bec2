"""outcomes -> history: reads outcomes, appends them in bulk, commits after the write."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.domain.codec import decode
from app.domain.errors import UndecodableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.meter import METER
from app.domain.metric_catalogue import TRACKED
from app.domain.outcome import Outcome
from app.settings import Settings
from infrastructure import wiring
from infrastructure.kafka.groups import TRACKER_GROUP
from infrastructure.kafka.reader import GroupReader, Partition
from infrastructure.kafka.records import Record

_log = structlog.get_logger()

_READ_MAX = 500
_IDLE_S = 0.1


class Tracker:
    """The loop. A history that is away means lag, nothing else."""

    name = "tracker"

    def __init__(self, settings: Settings) -> None:
        self._history = wiring.history(settings)
        self._reader = GroupReader(settings, TRACKER_GROUP, [OUTCOMES_TOPIC], on_revoked=self._forget)
        self._unwritten: list[Record] = []

    def is_ready(self) -> bool:
        """Whether the group has given it partitions."""
        return bool(self._reader.assigned)

    def turn(self) -> None:
        """One read, one write, one commit."""
        if self._unwritten:
            came = self._reader.keep_place()  # first: what it forgets meanwhile stays forgotten
            self._unwritten += came
        else:
            self._unwritten = self._reader.read(_READ_MAX, _IDLE_S)
        self._reader.commit({})  # what Kafka did not take before
        if not self._unwritten:
            return
        outcomes = [outcome for record in self._unwritten if (outcome := _outcome(record)) is not None]
        self._history.append(outcomes)
        METER.count(TRACKED, amount=len(outcomes))
        offsets: dict[tuple[str, int], int] = {}
        for record in self._unwritten:
            offsets[record.topic, record.partition] = record.offset + 1
        self._unwritten = []
        self._reader.commit(offsets)

    def close(self) -> None:
        """Leave the group."""
        self._reader.close()

    def _forget(self, partitions: Sequence[Partition]) -> None:
        """Its next owner reads what is not committed again; writing it twice is harmless."""
        gone = set(partitions)
        self._unwritten = [one for one in self._unwritten if (one.topic, one.partition) not in gone]


def _outcome(record: Record) -> Outcome | None:
    try:
        return decode(record.value, Outcome)
    except UndecodableError:
        _log.error("outcome_undecodable", partition=record.partition, offset=record.offset)
        return None
