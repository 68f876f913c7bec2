"""Port OutcomePublisher: outcomes of what no worker has, for processes with several threads."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.outcome import Outcome
from app.settings import Settings
from infrastructure.kafka.writer import RecordWriter


class KafkaOutcomePublisher:
    """The port over a `RecordWriter`. Not to be made before a fork."""

    def __init__(self, settings: Settings) -> None:
        self._writer = RecordWriter(settings, timeout_s=settings.intake_timeout_s, linger_ms=0)

    def publish(self, outcomes: Sequence[Outcome], timeout_s: float) -> bool:
        """See `app.domain.ports.OutcomePublisher`."""
        try:
            acks = [self._writer.write(OUTCOMES_TOPIC, one.notification_id, encode(one)) for one in outcomes]
        except StoreUnavailableError:
            return False
        self._writer.wait(acks, timeout_s)
        return all(ack.is_durable for ack in acks)

    def close(self) -> None:
        """Wait for what is under way."""
        self._writer.close()
