"""outcomes -> history: reads outcomes, appends them in bulk, commits after the write."""

from __future__ import annotations

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
from infrastructure.kafka.kept_reader import KeptReader
from infrastructure.kafka.records import Record

_log = structlog.get_logger()

_READ_MAX = 500
_IDLE_S = 0.1


class Tracker:
    """The loop. A history that is away means lag, nothing else."""

    name = "tracker"

    def __init__(self, settings: Settings) -> None:
        self._history = wiring.history(settings)
        self._reader = KeptReader(settings, TRACKER_GROUP, [OUTCOMES_TOPIC])

    def is_ready(self) -> bool:
        """Whether the group has given it partitions."""
        return bool(self._reader.assigned)

    def turn(self) -> None:
        """One read, one write, one commit."""
        records = self._reader.read_kept(_READ_MAX, _IDLE_S)
        if not records:
            return
        outcomes = [outcome for record in records if (outcome := _outcome(record)) is not None]
        self._history.append(outcomes)
        METER.count(TRACKED, amount=len(outcomes))
        self._reader.commit_kept()

    def close(self) -> None:
        """Leave the group."""
        self._reader.close()


def _outcome(record: Record) -> Outcome | None:
    try:
        return decode(record.value, Outcome)
    except UndecodableError:
        _log.error("outcome_undecodable", partition=record.partition, offset=record.offset)
        return None
