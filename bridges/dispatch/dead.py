"""Lane records that cannot be delivered because they are none: to `notifications.dead`, with an outcome."""

from __future__ import annotations

import structlog

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import RECORD_VERSION, Delivery, DeliveryHead
from app.domain.errors import StoreUnavailableError, UndecodableError
from app.domain.lane import LANE_BY_TOPIC, OUTCOMES_TOPIC
from app.domain.outcome import Outcome
from bridges.undecodable import undecodable
from infrastructure.kafka.dead_letters import origin_of, write_dead_letter
from infrastructure.kafka.records import Record
from infrastructure.kafka.writer import RecordWriter

_log = structlog.get_logger()

_ACK_S = 5.0


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
        """Make it durable before the offset may move; raises RuntimeError, which ends the process, where that fails."""
        place = f"{record.topic}:{record.partition}:{record.offset}"
        outcome = _outcome(record, why)
        _log.error("lane_record_undecodable", place=place, notification_id=outcome.notification_id)
        try:
            acks = [
                self._writer.write(OUTCOMES_TOPIC, outcome.notification_id, encode(outcome)),
                write_dead_letter(self._writer, outcome, origin_of(record)),
            ]
        except StoreUnavailableError as error:
            raise RuntimeError(f"{place} is no delivery and could not be written off") from error
        self._writer.wait(acks, _ACK_S)
        if not all(ack.is_durable for ack in acks):
            raise RuntimeError(f"{place} is no delivery and could not be written off in time")


def _outcome(record: Record, why: str) -> Outcome:
    """What is recorded of it, under its own ids where it tells them."""
    try:
        head = decode(record.value, DeliveryHead)
    except UndecodableError:
        head = DeliveryHead("")
    return undecodable(
        record,
        why,
        now_ms(),
        notification_id=head.notification_id,
        delivery_id=head.id,
        channel=LANE_BY_TOPIC[record.topic].channel if head.id else "",
        accepted_at_ms=head.accepted_at_ms,
    )
