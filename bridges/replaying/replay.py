"""Running events again: those that were never finished, as their next pass, or all, as new ones."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct, structs

from app.domain.api_key import read_key_id
from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.delivery import Delivery
from app.domain.forgetting import is_forgotten
from app.domain.ids import derived_id
from app.domain.lane import OUTCOMES_TOPIC, RAW_LOW_TOPIC
from app.domain.outcome import Reason, Status
from app.domain.ports import RawRecord
from app.domain.rate import Rate
from app.domain.steady import Steady
from app.settings import Settings
from bridges.replaying.source import RawEvents
from bridges.replaying.verdict import Why, judge, next_pass
from bridges.replaying.witness import Witness
from bridges.routing import route
from infrastructure import wiring
from infrastructure.kafka.event_log import headers_of
from infrastructure.kafka.patient_writer import PatientWriter
from infrastructure.kafka.reader import Partition
from infrastructure.kafka.records import Record

T = TypeVar("T")

_PORTION = 200
_PORTION_S = 0.5
_UNKNOWN = "-"


class Row(Struct, frozen=True, order=True):
    """What is counted together."""

    event_type: str
    priority: str
    why: Why


class Sums(Struct, frozen=True):
    """How many events and deliveries, and how many of them were put back: events where all go as new."""

    events: Counter[Row]
    deliveries: Counter[Row]
    done: Counter[str]


class Replay:
    """One run. `tell` gets the sums after each chunk. `close` when done."""

    def __init__(self, settings: Settings, *, rate: Rate | None, is_dry: bool, tell: Callable[[Sums], None]) -> None:
        self._settings = settings
        self._catalogue = wiring.catalogue(settings)
        self._claims = wiring.claim_review(settings)
        self._witness = Witness(settings)
        self._forgotten = wiring.forgotten_users(settings)
        self._writer = PatientWriter(settings)
        self._steady = Steady(rate)
        self._is_dry = is_dry
        self._tell = tell
        self.sums = Sums(Counter(), Counter(), Counter())

    def unfinished(self, source: RawEvents) -> None:
        """Put back what has no end and is nowhere on its way. Raises StoreUnavailableError: it may be started again."""
        for chunk in source.chunks():
            routed = self._witness.routed()  # before all else: what is behind it has gone on
            found = [(record, self._deliveries(record)) for record in self._first(chunk)]
            waiting = [record for record, made in found if made and _is_waiting(record, routed)]
            for record in waiting:
                self._count(record, Why.ON_RAW, 1)
            settled = {id(record) for record in waiting}
            self._run([one for record, made in found if id(record) not in settled for one in made])
            self._tell(self.sums)

    def as_new(self, source: RawEvents, name: str) -> None:
        """Put all events on raw again, as accepted now; their ids are derived from the name and their old ones.

        Under the same name the same event gets the same id: a run that was cut off can be repeated.
        """
        caller = f"replay:{name or uuid.uuid4().hex}"
        for chunk in source.chunks():
            records = [record for record in self._first(chunk) if self._deliveries(record, Why.AS_NEW)]
            for portion in self._portions(records):
                for record in portion:
                    self._put_new(record, caller)
                self._writer.flush()
                self.sums.done["events"] += len(portion)
            self._tell(self.sums)

    def close(self) -> None:
        """Wait for what is under way."""
        self._witness.close()
        self._writer.close()

    # what is looked at

    def _first(self, chunk: Sequence[Record]) -> list[Record]:
        """Each event once (accepted again under its key, it is twice on the topic), and none of forgotten users."""
        firsts: dict[str, Record] = {}
        for record in chunk:
            known = firsts.setdefault(record.header("ce_id") or f"{record.partition}:{record.offset}", record)
            if known is not record:
                self._count(record, Why.TWICE, 1)
        return self._remembered(list(firsts.values()))

    def _remembered(self, records: list[Record]) -> list[Record]:
        """Those whose users were not forgotten since."""
        forgotten_at = self._forgotten.forgotten_at({record.key for record in records})
        if not forgotten_at:
            return records
        kept = []
        for record in records:
            made = route(record, self._catalogue, 0).deliveries
            if made and is_forgotten(made[0].event.user_id, made[0].accepted_at_ms, forgotten_at):
                self._count(record, Why.FORGOTTEN, len(made), made[0])
            else:
                kept.append(record)
        return kept

    def _deliveries(self, record: Record, why: Why | None = None) -> list[Delivery]:
        """What the router makes of it, however late it is; counted at once where that is nothing, or for `why`."""
        made = route(record, self._catalogue, 0)
        if made.outcome is not None:
            is_dead = made.outcome.reason == Reason.UNDECODABLE
            self._count(record, Why.UNDECODABLE if is_dead else Why.NO_CHANNELS, 1)
        elif why is not None:
            self._count(record, why, len(made.deliveries), made.deliveries[0])
        return made.deliveries

    def _count(self, record: Record, why: Why, deliveries: int, delivery: Delivery | None = None) -> None:
        if delivery is None:
            made = route(record, self._catalogue, 0).deliveries
            delivery = made[0] if made else None
            deliveries = len(made) or deliveries
        priority = str(delivery.priority) if delivery else _UNKNOWN
        row = Row(record.header("ce_type")[:64] or _UNKNOWN, priority, why)
        self.sums.events[row] += 1
        self.sums.deliveries[row] += deliveries

    # what is done

    def _run(self, deliveries: list[Delivery]) -> None:
        if not deliveries:
            return
        known = self._witness.evidence(deliveries)
        now = now_ms()
        seen: set[tuple[str, Row]] = set()
        going = []
        for one in deliveries:
            why = judge(one, known, now)
            row = Row(one.event.event_type, str(one.priority), why)
            self.sums.events[row] += (one.notification_id, row) not in seen
            self.sums.deliveries[row] += 1
            seen.add((one.notification_id, row))
            if why.runs:
                going.append(structs.replace(one, pass_no=next_pass(one, known), routed_at_ms=now))
        for portion in self._portions(going):
            self._put_back(portion)

    def _put_back(self, deliveries: list[Delivery]) -> None:
        """On their lanes, then an outcome that says so: told before, it might be the last that is heard of one."""
        self._claims.reopen([(one.id, one.pass_no - 1) for one in deliveries])
        for one in deliveries:
            self._writer.write(one.lane.topic, one.event.user_id, encode(one))
        self._writer.flush()
        for one in deliveries:
            outcome = one.outcome(status=Status.ACCEPTED, reason=Reason.REPLAYED, at_ms=now_ms())
            self._writer.write(OUTCOMES_TOPIC, outcome.notification_id, encode(outcome))
        self._writer.flush()
        self.sums.done["deliveries"] += len(deliveries)

    def _put_new(self, record: Record, caller: str) -> None:
        fresh = RawRecord(
            id=derived_id(wiring.secret(self._settings), caller, record.header("ce_id")),
            user_id=record.key,
            event_type=record.header("ce_type"),
            accepted_at_ms=now_ms(),
            body=record.value,
            is_low=record.topic == RAW_LOW_TOPIC,
            key_id=read_key_id(record.header("ce_keyid")),
        )
        self._writer.write(record.topic, record.key, record.value, headers_of(fresh))

    def _portions(self, things: list[T]) -> Iterator[list[T]]:
        """What may go at once, at the rate; nothing in a dry run."""
        if self._is_dry:
            return
        size = self._steady.portion(_PORTION, _PORTION_S)
        for start in range(0, len(things), size):
            portion = things[start : start + size]
            time.sleep(self._steady.delay_s(len(portion), time.monotonic()))
            yield portion


def _is_waiting(record: Record, routed: Mapping[Partition, int]) -> bool:
    return record.offset >= routed.get((record.topic, record.partition), 0)
