"""Taking parked deliveries out for good: each ends as cancelled, is never sent, and never left without an outcome.

The verdict is noted in the claim of the next pass, as an answer that waits to be recorded, before anything else is
changed. From then on it makes no difference who goes on: this process writes the outcome, settles the claim and deletes
the row; if it dies, the row is due, comes back, and the worker that claims it finds the answer and records it.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from app.domain.batch import Verdict
from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.outcome import Reason, Status
from app.domain.parked_choice import ParkedChoice
from app.settings import Settings
from infrastructure import wiring
from infrastructure.kafka.patient_writer import PatientWriter

CHUNK = 200
#: More than a chunk's stores and acks may take.
_LEASE_MS = 60_000
_ROOM_S = 20.0


class Dropped(StrEnum):
    """What became of a row that was to be dropped."""

    DROPPED = "dropped"
    DONE_BEFORE = "done_before"  # the row was left over: its next pass, or the delivery, had ended
    UNDER_WAY = "under_way"  # somebody works on its next pass, or a call of it was not answered: left as it is


class Dropping:
    """Drops chunk by chunk. `close` when done."""

    def __init__(self, settings: Settings) -> None:
        self._parked = wiring.parked(settings)
        self._claims = wiring.claims(settings)
        self._writer = PatientWriter(settings, room_s=_ROOM_S)
        self._owner = uuid.uuid4().hex

    def drop(self, choice: ParkedChoice, limit: int, tell: Callable[[Counter[Dropped]], None]) -> Counter[Dropped]:
        """Drop up to `limit` rows of the choice; `tell` gets the sums after each chunk.

        Raises StoreUnavailableError where a store is away, or the outcomes' topic has no room for long: what had been
        noted by then ends as cancelled, the rest stays parked.
        """
        sums: Counter[Dropped] = Counter()
        while (left := limit - sums.total()) > 0:
            now = now_ms()
            rows = self._parked.lease_chosen(
                choice, now_ms=now, lease_until_ms=now + _LEASE_MS, owner=self._owner, limit=min(left, CHUNK)
            )
            if not rows:
                break
            sums += self._drop(rows, now + _LEASE_MS)
            tell(sums)
        return sums

    def close(self) -> None:
        """Wait for what is under way."""
        self._writer.close()

    def _drop(self, rows: list[Parked], until_ms: int) -> Counter[Dropped]:
        sorted_out = self._claim([row.delivery for row in rows], until_ms)
        dropped = sorted_out[Dropped.DROPPED]
        if dropped:
            self._note(dropped, until_ms)
            self._parked.hasten(_rows(dropped), self._owner, now_ms())
            self._record(dropped)
        self._parked.remove(_rows(dropped + sorted_out[Dropped.DONE_BEFORE]), self._owner)
        return Counter({fate: len(found) for fate, found in sorted_out.items()})

    def _claim(self, deliveries: list[Delivery], until_ms: int) -> dict[Dropped, list[Delivery]]:
        """Claim each one's next pass: a scheduler that died may have put it on its lane already."""
        wanted = [one.next_pass().claimable for one in deliveries]
        found = self._claims.take(wanted, owner=self._owner, until_ms=until_ms, alone=False)
        sorted_out: dict[Dropped, list[Delivery]] = {fate: [] for fate in Dropped}
        for delivery, taken in zip(deliveries, found, strict=True):
            fate = {"taken": Dropped.DROPPED, "finished": Dropped.DONE_BEFORE}.get(taken.state, Dropped.UNDER_WAY)
            sorted_out[fate].append(delivery)
        self._claims.release([one.id for one in sorted_out[Dropped.UNDER_WAY]], owner=self._owner)
        return sorted_out

    def _note(self, deliveries: list[Delivery], until_ms: int) -> None:
        if now_ms() > until_ms - _LEASE_MS // 2:
            raise StoreUnavailableError("the stores took too long; nothing of this chunk was dropped")
        verdict = Verdict(status=Status.CANCELLED, reason=Reason.DROPPED_BY_OPERATOR, at_ms=now_ms())
        text = encode(verdict).decode()
        answered = [(one.id, one.pass_no + 1, text) for one in deliveries]
        self._claims.advance(owner=self._owner, until_ms=until_ms, answered=answered, calling=[])

    def _record(self, deliveries: list[Delivery]) -> None:
        for one in deliveries:
            dropped = one.next_pass()
            outcome = dropped.outcome(status=Status.CANCELLED, reason=Reason.DROPPED_BY_OPERATOR, at_ms=now_ms())
            self._writer.write(OUTCOMES_TOPIC, outcome.notification_id, encode(outcome))
        self._writer.flush()
        done = [(one.id, one.pass_no + 1, str(Status.CANCELLED)) for one in deliveries]
        self._claims.done(done, owner=self._owner)


def _rows(deliveries: list[Delivery]) -> list[tuple[str, int]]:
    return [(one.id, one.pass_no) for one in deliveries]
