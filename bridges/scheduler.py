"""parked -> lanes: brings due rows back to their lane topic as their next pass, and deletes them after the ack."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

import structlog

from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.delivery import Parked
from app.domain.errors import TopicFullError
from app.domain.forgetting import cancelled, is_forgotten
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.meter import METER
from app.domain.metric_catalogue import UNPARKED
from app.settings import Settings
from infrastructure import wiring
from infrastructure.kafka.writer import Ack, RecordWriter

_log = structlog.get_logger()

_LIMIT = 500
_IDLE_S = 0.2
#: How long a row stays with the scheduler that took it: enough for the acks, little for whoever comes after a crash.
_LEASE_MS = 15_000
_ACK_S = 8.0


class Scheduler:
    """The loop. Several may run: each leases the rows it takes."""

    name = "scheduler"

    def __init__(self, settings: Settings) -> None:
        self._parked = wiring.parked(settings)
        self._forgotten = wiring.forgotten_users(settings)
        self._writer = RecordWriter(settings, timeout_s=_ACK_S)
        self._owner = uuid.uuid4().hex

    def is_ready(self) -> bool:
        """It needs no group."""
        return True

    def turn(self) -> None:
        """Take what is due, write it, delete it."""
        now = now_ms()
        rows = self._parked.lease_due(now_ms=now, lease_until_ms=now + _LEASE_MS, owner=self._owner, limit=_LIMIT)
        if not rows:
            time.sleep(_IDLE_S)
            return
        forgotten_at = self._forgotten.forgotten_at({row.delivery.event.user_id for row in rows})
        acks = [(row, ack) for row in rows if (ack := self._write(row, forgotten_at)) is not None]
        self._writer.wait([ack for _, ack in acks], _ACK_S)
        written = [(row.delivery.id, row.delivery.pass_no) for row, ack in acks if ack.is_durable]
        self._parked.remove(written, self._owner)
        METER.count(UNPARKED, amount=len(written))
        if len(written) < len(rows):
            # Their lease runs out by itself; where a lane is full there is no hurry either.
            _log.info("parked_rows_wait", rows=len(rows) - len(written))
            time.sleep(_IDLE_S)

    def close(self) -> None:
        """Wait for what is under way."""
        self._writer.close()

    def _write(self, row: Parked, forgotten_at: Mapping[str, int]) -> Ack | None:
        """Hand the row's next pass over, or that its user was forgotten; None where the topic is full."""
        delivery = row.delivery.next_pass()
        try:
            if is_forgotten(delivery.event.user_id, delivery.accepted_at_ms, forgotten_at):
                outcome = cancelled(row.delivery, now_ms())
                return self._writer.write(OUTCOMES_TOPIC, outcome.notification_id, encode(outcome))
            return self._writer.write(delivery.lane.topic, delivery.event.user_id, encode(delivery))
        except TopicFullError:
            return None
