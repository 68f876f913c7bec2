"""Port EventLog: accepted events onto `notifications.raw` and `.raw.low`, as CloudEvents 1.0 in binary mode."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from confluent_kafka import KafkaException, Producer

from app.domain.errors import StoreUnavailableError
from app.domain.lane import RAW_LOW_TOPIC, RAW_TOPIC
from app.domain.ports import RawRecord
from app.settings import Settings
from infrastructure.kafka.client import producer_config
from infrastructure.kafka.writer import Ack, RecordWriter

CE_SOURCE = b"/api/v1/notifications"
CE_SPECVERSION = b"1.0"
#: Version of the event's JSON, as a CloudEvents extension attribute.
RECORD_VERSION = b"1"


class KafkaEventLog:
    """The port over a `RecordWriter`. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._writer = RecordWriter(settings, timeout_s=settings.intake_timeout_s, linger_ms=0)
        self._probe = Producer(producer_config(settings, timeout_s=settings.intake_timeout_s))

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        """See `app.domain.ports.EventLog`."""
        written: list[Ack | Exception] = [self._write(record) for record in records]
        self._writer.wait([ack for ack in written if isinstance(ack, Ack)], timeout_s)
        return [_answer(ack) for ack in written]

    def is_ready(self, timeout_s: float) -> bool:
        """See `app.domain.ports.EventLog`."""
        try:
            self._probe.list_topics(RAW_TOPIC, timeout=timeout_s)
        except KafkaException:
            return False
        return True

    def _write(self, record: RawRecord) -> Ack | Exception:
        try:
            topic = RAW_LOW_TOPIC if record.is_low else RAW_TOPIC
            return self._writer.write(topic, record.user_id, record.body, headers_of(record))
        except StoreUnavailableError as error:
            return error


def headers_of(record: RawRecord) -> dict[str, bytes]:
    """The CloudEvents attributes of an accepted event."""
    time = datetime.fromtimestamp(record.accepted_at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "ce_id": record.id.encode(),
        "ce_source": CE_SOURCE,
        "ce_specversion": CE_SPECVERSION,
        "ce_type": record.event_type.encode(),
        "ce_time": time.encode(),
        "ce_recordversion": RECORD_VERSION,
        "content-type": b"application/json",
    }


def _answer(ack: Ack | Exception) -> Exception | None:
    if isinstance(ack, Exception):
        return ack
    if ack.is_durable:
        return None
    return StoreUnavailableError(ack.error or "Kafka did not acknowledge in time")
