"""Port EventLog: accepted events onto `notifications.raw` and `.raw.low`, as CloudEvents 1.0 in binary mode."""

from __future__ import annotations

import threading
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
    """The port over a `RecordWriter`, for a server with several threads.

    One thread takes the acks for all: where each request's thread polled for its own, an ack that another thread took
    would be noticed only when its poll had timed out.
    """

    def __init__(self, settings: Settings) -> None:
        self._writer = RecordWriter(settings, timeout_s=settings.intake_timeout_s, linger_ms=0)
        self._probe = Producer(producer_config(settings, timeout_s=settings.intake_timeout_s))
        threading.Thread(target=self._writer.take_acks, name="kafka-acks", daemon=True).start()

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        """See `app.domain.ports.EventLog`."""
        latch = Latch(len(records))
        written = [self._write(record, latch) for record in records]
        latch.wait(timeout_s)
        return [_answer(ack) for ack in written]

    def is_ready(self, timeout_s: float) -> bool:
        """See `app.domain.ports.EventLog`."""
        self._writer.check()  # not only in `publish`: who is not ready gets no events
        try:
            self._probe.list_topics(RAW_TOPIC, timeout=timeout_s)
        except KafkaException:
            return False
        return True

    def close(self) -> None:
        """Wait for what is under way."""
        self._writer.close()

    def _write(self, record: RawRecord, latch: Latch) -> Ack | Exception:
        topic = RAW_LOW_TOPIC if record.is_low else RAW_TOPIC
        try:
            return self._writer.write(topic, record.user_id, record.body, headers_of(record), latch.count_down)
        except StoreUnavailableError as error:
            latch.count_down()
            return error


class Latch:
    """Waits for a number of acks that another thread takes."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self._is_done = threading.Event()

    def count_down(self) -> None:
        """One of them is there."""
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self._is_done.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for all; False where `timeout_s` was too short."""
        return self._left <= 0 or self._is_done.wait(timeout_s)


def headers_of(record: RawRecord) -> dict[str, bytes]:
    """The CloudEvents attributes of an accepted event."""
    time = datetime.fromtimestamp(record.accepted_at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    headers = {
        "ce_id": record.id.encode(),
        "ce_source": CE_SOURCE,
        "ce_specversion": CE_SPECVERSION,
        "ce_type": record.event_type.encode(),
        "ce_time": time.encode(),
        "ce_recordversion": RECORD_VERSION,
        "content-type": b"application/json",
    }
    if record.traceparent:  # CloudEvents' extension for distributed tracing
        headers["ce_traceparent"] = record.traceparent.encode()
    if record.key_id:  # an extension of ours
        headers["ce_keyid"] = record.key_id.encode()
    return headers


def _answer(ack: Ack | Exception) -> Exception | None:
    if isinstance(ack, Exception):
        return ack
    if ack.is_durable:
        return None
    return StoreUnavailableError(ack.error or "Kafka did not acknowledge in time")
