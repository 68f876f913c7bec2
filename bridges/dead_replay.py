"""Putting dead letters back on their topics: events on raw as they were, deliveries on their lane as their next pass.

Doing it twice sends nothing twice: a delivery goes back under the same id and pass, which claims stop, and later the
history; an event under the same id, whose deliveries the history knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import RECORD_VERSION, Delivery
from app.domain.errors import UndecodableError
from app.domain.lane import LANE_BY_TOPIC, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC
from app.domain.outcome import Reason, Status
from app.settings import Settings
from infrastructure import wiring
from infrastructure.kafka.dead_letters import DeadLetter
from infrastructure.kafka.patient_writer import PatientWriter


class Fate(StrEnum):
    """What becomes of a dead letter that is to be put back."""

    REPLAYED = "replayed"
    BEFORE = "had_been_replayed"
    CUT = "cut"  # not all of its body was kept
    HEADLESS = "without_headers"  # an event whose id and time were not kept
    UNDECODABLE = "undecodable"  # no delivery to this version either
    UNPLACED = "without_topic"


class DeadReplay:
    """Puts back what it is given. `close` when done."""

    def __init__(self, settings: Settings) -> None:
        self._claims = wiring.claim_review(settings)
        self._history = wiring.history(settings)
        self._parked = wiring.parked(settings)
        self._writer = PatientWriter(settings)

    def fate(self, letter: DeadLetter) -> Fate:
        """What would become of it. Raises StoreUnavailableError."""
        if letter.is_cut:
            return Fate.CUT
        if letter.origin.topic in (RAW_TOPIC, RAW_LOW_TOPIC):
            return self._fate_of_event(letter)
        if letter.origin.topic not in LANE_BY_TOPIC:
            return Fate.UNPLACED
        delivery = _delivery(letter)
        if delivery is None:
            return Fate.UNDECODABLE
        return Fate.BEFORE if self._was_replayed(delivery) else Fate.REPLAYED

    def replay(self, letters: Sequence[DeadLetter]) -> list[Fate]:
        """Put them back, and wait until they are there. Raises StoreUnavailableError: some may be."""
        fates = [self.fate(letter) for letter in letters]
        going = [letter for letter, fate in zip(letters, fates, strict=True) if fate is Fate.REPLAYED]
        deliveries = [one for letter in going if (one := _delivery(letter)) is not None]
        self._claims.reopen([(one.id, one.pass_no) for one in deliveries])
        for letter in going:
            if letter.origin.topic not in LANE_BY_TOPIC:
                self._writer.write(letter.origin.topic, letter.origin.key, letter.origin.value, letter.origin.headers)
        for delivery in deliveries:
            self._writer.write(delivery.lane.topic, delivery.event.user_id, encode(delivery.next_pass()))
        self._writer.flush()
        self._tell(deliveries)
        return fates

    def close(self) -> None:
        """Wait for what is under way."""
        self._writer.close()

    def _tell(self, deliveries: Sequence[Delivery]) -> None:
        """Once they are on their way: an outcome that said so before might be the last that is heard of one."""
        for delivery in deliveries:
            outcome = delivery.next_pass().outcome(status=Status.ACCEPTED, reason=Reason.REPLAYED, at_ms=now_ms())
            self._writer.write(OUTCOMES_TOPIC, outcome.notification_id, encode(outcome))
        self._writer.flush()

    def _fate_of_event(self, letter: DeadLetter) -> Fate:
        if not letter.origin.headers.get("ce_id"):
            return Fate.HEADLESS
        notification_id = letter.origin.headers["ce_id"].decode("utf-8", "replace")
        is_known = any(one.delivery_id for one in self._history.standings([notification_id]))
        return Fate.BEFORE if is_known else Fate.REPLAYED

    def _was_replayed(self, delivery: Delivery) -> bool:
        """Whether anything is known of its next pass, or of a later one."""
        passes = [
            one.pass_no for one in self._history.standings([delivery.notification_id]) if one.delivery_id == delivery.id
        ]
        passes += self._parked.passes([delivery.id]).values()
        passes += [claim.pass_no for claim in self._claims.seen([delivery.id]) if claim is not None]
        return max(passes, default=-1) > delivery.pass_no


def _delivery(letter: DeadLetter) -> Delivery | None:
    if letter.origin.topic not in LANE_BY_TOPIC:
        return None
    try:
        delivery = decode(letter.origin.value, Delivery)
    except UndecodableError:
        return None
    return delivery if delivery.v == RECORD_VERSION else None
