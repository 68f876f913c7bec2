"""The stores of the dispatch model: what Kafka, Celery's broker, SQL and the provider hold, with faults to be set.

Whatever breaks a promise is written to `Stores.violations`; code under test may swallow an exception, not that.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from app.domain.batch import Finished, RawBatch
from app.domain.delivery import Delivery, Parked
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import Outcome
from tests.support.model_claims import ModelClaims

#: What a store does: answers; refuses; does what is asked and loses the answer.
Fault = Literal["none", "refuses", "deaf"]
Partition = tuple[str, int]
Key = tuple[str, int]

START_MS = 1_700_000_000_000
CLAIM_TTL_S = 24 * 3600.0
CANCEL_LIFE_S = 30 * 24 * 3600.0


class Store:
    """One system that can be away."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fault: Fault = "none"

    def ask(self) -> None:
        """Before what is asked is done. Raises where it will not be."""
        if self.fault == "refuses":
            raise StoreUnavailableError(self.name)

    def answer(self) -> None:
        """After it was done. Raises where the answer is lost."""
        if self.fault == "deaf":
            raise StoreUnavailableError(self.name)


@dataclasses.dataclass(slots=True, kw_only=True)
class Queued:
    """A copy in Celery's queue. `is_certain`: the dispatcher knows that it is there."""

    batch: RawBatch
    sender: object
    is_certain: bool


@dataclasses.dataclass(slots=True)
class Group:
    """The dispatchers' consumer group: who has a partition, and the offsets committed, oldest first."""

    owners: dict[Partition, Any] = dataclasses.field(default_factory=dict)
    commits: dict[Partition, list[int]] = dataclasses.field(default_factory=dict)

    def committed(self, partition: Partition) -> int:
        """The committed offset, or -1."""
        return self.commits[partition][-1] if self.commits.get(partition) else -1


class Stores:
    """Everything outside the processes, and the clock."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.set_back_ms = 0
        self.kafka, self.redis, self.broker, self.sql = map(Store, ("kafka", "redis", "broker", "sql"))
        self.lanes: dict[Partition, list[Delivery]] = {}
        self.finished: list[Finished] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        self.parked: dict[Key, Parked] = {}
        self.was_parked: set[Key] = set()
        self.queue: list[Queued] = []
        self.group = Group()
        self.claims = ModelClaims(lambda: self.now_ms, ttl_s=CLAIM_TTL_S)
        #: Delivery id -> how often Redis had been flushed when a client's DELETE stopped it.
        self.stopped: dict[str, int] = {}
        #: Delivery id -> how often Redis had been flushed when a client's DELETE first reached it.
        self.cancelled: dict[str, int] = {}
        self.slots: dict[str, int] = {}
        self.answered: Counter[str] = Counter()
        self.breaker_open_until_ms = 0
        self.flushes = 0
        self.violations: list[str] = []

    @property
    def monotonic_ms(self) -> int:
        """The clock that is never set back."""
        return self.now_ms + self.set_back_ms

    def set_clock_back(self, by_ms: int) -> None:
        """The time of day is corrected."""
        self.now_ms -= by_ms
        self.set_back_ms += by_ms

    @property
    def stores(self) -> tuple[Store, ...]:
        """All that can be away."""
        return (self.kafka, self.redis, self.broker, self.sql)

    def violated(self, what: str) -> None:
        """Note a broken promise."""
        self.violations.append(what)

    def produce(self, partition: Partition, delivery: Delivery) -> None:
        """Append a delivery to its lane topic."""
        self.lanes[partition].append(delivery)

    def land(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes are durable."""
        for outcome in outcomes:
            self.outcomes.setdefault(outcome.delivery_id, []).append(outcome)

    def park(self, rows: Sequence[Parked]) -> None:
        """Rows are committed, where they are not there yet."""
        for row in rows:
            key = (row.delivery.id, row.delivery.pass_no)
            self.parked.setdefault(key, row)
            self.was_parked.add(key)

    def finals(self, delivery_id: str) -> list[Outcome]:
        """The delivery's durable final outcomes."""
        return [outcome for outcome in self.outcomes.get(delivery_id, []) if outcome.status.is_final]

    def is_settled(self, delivery: Delivery) -> bool:
        """Whether this pass of the delivery is durably final, or parked and in safe hands from then on."""
        if self.finals(delivery.id):
            return True
        return any(one == delivery.id and pass_no >= delivery.pass_no for one, pass_no in self.was_parked)

    def flush(self) -> None:
        """FLUSHALL: queues, claims and charges are gone."""
        self.queue.clear()
        self.claims.flush()
        self.slots.clear()
        self.flushes += 1

    def cancel(self, delivery: Delivery, *, has_crashed: bool = False) -> None:
        """A client's DELETE: the key first; where no worker has it, what is parked: its outcome, then its row."""
        if self.redis.fault == "refuses":
            return
        claim = self.claims.read(delivery.id)
        [is_free] = self.claims.cancel(delivery.notification_id, [delivery.id], life_s=CANCEL_LIFE_S)
        self.cancelled.setdefault(delivery.id, self.flushes)
        if claim is None or not (claim.is_under_way or claim.is_final):
            self.stopped[delivery.id] = self.flushes
        if not is_free or any(store.fault != "none" for store in (self.redis, self.sql)):
            return
        for key, row in [(key, row) for key, row in self.parked.items() if row.delivery.id == delivery.id]:
            if self.kafka.fault == "refuses":
                return
            self.land([row.cancelled(self.now_ms)])
            if not has_crashed and self.kafka.fault == "none":
                del self.parked[key]

    def compact(self) -> None:
        """Kafka's log cleaner: the last record of each key stays."""
        newest = {record.key: record for record in self.finished}
        self.finished = [record for record in self.finished if newest[record.key] is record]
