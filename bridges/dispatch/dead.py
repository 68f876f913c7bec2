"""Lane records that cannot be delivered because they are none: to `notifications.dead`, with an outcome."""

from __future__ import annotations

import structlog

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import RECORD_VERSION, Delivery
from app.domain.errors import StoreUnavailableError, UndecodableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.outcome import Outcome, Reason, Status
from infrastructure.kafka.outcome_log import write_dead_letter
from infrastructure.kafka.records import Record
from infrastructure.kafka.writer import RecordWriter

_log = structlog.get_logger()


class DeadLetters:
    """Sorts out unsound lane records, so that none can harm the batch it would travel in."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer

    def is_sound(self, record: Record) -> bool:
        """Whether the record is a delivery; if not, it is written off, and its offset counts as finished."""
        try:
            version = decode(record.value, Delivery).v
        except UndecodableError as error:
            self._write_off(record, str(error))
            return False
        if version != RECORD_VERSION:
            self._write_off(record, f"unknown version {version}")
        return version == RECORD_VERSION

    def _write_off(self, record: Record, why: str) -> None:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        _log.error("lane_record_undecodable", topic=record.topic, partition=record.partition, offset=record.offset)
        now = now_ms()
        outcome = Outcome(
            notification_id=place,
            user_id="",
            event_type="",
            status=Status.FAILED,
            reason=Reason.UNDECODABLE,
            detail=f"{place}: {why}",
            at_ms=now,
            accepted_at_ms=now,
        )
        try:
            self._writer.write(OUTCOMES_TOPIC, place, encode(outcome))
            write_dead_letter(self._writer, outcome, record.value)
        except StoreUnavailableError as error:
            _log.error("dead_letter_not_taken", place=place, error=str(error))
