"""What is written to Kafka, and waited for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from app.domain.batch import Finished
from app.domain.outcome import Outcome


class RawRecord(Struct, frozen=True, kw_only=True):
    """An accepted event on its way to `notifications.raw`, or `.raw.low` where `is_low`. `body` is the event's JSON.

    `traceparent` is the trace it belongs to, `key_id` the API key of who sent it (empty: none).
    """

    id: str
    user_id: str
    event_type: str
    accepted_at_ms: int
    body: bytes
    is_low: bool = False
    traceparent: str = ""
    key_id: str = ""


class EventLog(Protocol):
    """Where accepted events go. Raises SystemExit where it can go on only in a new process."""

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        """Write the events and wait for their acks; per record None or what went wrong.

        An error is `TopicFullError` (nothing was written) or `StoreUnavailableError` (it may still have landed).
        """

    def is_ready(self, timeout_s: float) -> bool:
        """Whether the broker answers."""


class OutcomeLog(Protocol):
    """What a worker child writes to Kafka: outcomes, dead letters, finished records. Keys are (delivery id, pass)."""

    def has_room(self) -> bool:
        """Whether a batch's outcomes would be taken now."""

    def put(self, outcome: Outcome) -> None:
        """Hand an outcome over, once a key; it is durable only when `durable` says so."""

    def dead_letter(self, outcome: Outcome, body: bytes) -> None:
        """Hand over what could not be delivered, with its reason, to `notifications.dead`."""

    def durable(self, keys: Sequence[tuple[str, int]], timeout_s: float) -> set[tuple[str, int]]:
        """Those of which Kafka has acknowledged all that was handed over, within the time. Raises nothing.

        All are forgotten here.
        """

    def finish(self, finished: Finished, timeout_s: float) -> bool:
        """Write the record about a copy; whether Kafka has acknowledged it. Raises nothing."""


class OutcomePublisher(Protocol):
    """What becomes of deliveries that no worker has."""

    def publish(self, outcomes: Sequence[Outcome], timeout_s: float) -> bool:
        """Write them; whether Kafka has acknowledged all within the time. If not, they may land yet. Raises nothing."""
