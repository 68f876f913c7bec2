"""raw -> lanes: reads accepted events, writes one record per delivery to its lane topic, waits for the acks, commits.

`notifications.raw.low` is read only while `notifications.raw` is short. Nothing on either can stop the router.
"""

from __future__ import annotations

import structlog

from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.lane import OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC
from app.domain.outcome import Reason
from app.domain.trace import read_traceparent, trace_of
from app.settings import Settings
from bridges.route_tally import RouteTally
from bridges.routing import Routed
from bridges.traced_route import traced_route
from infrastructure import wiring
from infrastructure.kafka.dead_letters import origin_of, write_dead_letter
from infrastructure.kafka.groups import ROUTER_GROUP, ROUTER_LOW_GROUP
from infrastructure.kafka.reader import GroupReader
from infrastructure.kafka.records import Record
from infrastructure.kafka.writer import Ack, RecordWriter

_log = structlog.get_logger()

_READ_MAX = 500
_READ_LOW_MAX = 200
_IDLE_S = 0.02
#: Records waiting on raw above which raw.low is left alone.
_SHORT = 200
#: How long what a full lane cannot take is parked.
_LANE_FULL_MS = 2000
_ACK_S = 10.0
#: The same while some lane does not take records: the others do not wait for it.
_ACK_SHORT_S = 1.0
#: Records that could not be passed on, above which no more are read.
_UNDONE_MAX = 2000


class Router:
    """The loop. Several may run: each has its partitions."""

    name = "router"

    def __init__(self, settings: Settings) -> None:
        self._catalogue = wiring.catalogue(settings)
        self._parked = wiring.parked(settings)
        self._writer = RecordWriter(settings, timeout_s=_ACK_S)
        self._tracer = wiring.tracer(settings, self.name)
        self._raw = GroupReader(settings, ROUTER_GROUP, [RAW_TOPIC])
        self._low = GroupReader(settings, ROUTER_LOW_GROUP, [RAW_LOW_TOPIC])
        self._undone: list[tuple[GroupReader, list[Record]]] = []
        self._has_refusing_lane = False

    def is_ready(self) -> bool:
        """Whether both groups have given it partitions."""
        return bool(self._raw.assigned and self._low.assigned)

    def turn(self) -> None:
        """One read of raw, and of raw.low where raw is short; what could not be passed on goes again with it."""
        is_full = sum(len(records) for _, records in self._undone) >= _UNDONE_MAX
        self._gather(self._keep_place() if is_full else self._read())
        for reader in (self._raw, self._low):
            reader.commit({})  # what Kafka did not take before
        while self._undone:
            reader, records = self._undone[0]
            self._pass_on(records)
            self._undone.pop(0)  # passed on, whatever becomes of the commit: it is repeated, this is not
            reader.commit(_next_offsets(records))

    def close(self) -> None:
        """Leave both groups."""
        self._raw.close()
        self._low.close()
        self._writer.close()
        self._tracer.close()

    def _read(self) -> tuple[list[Record], list[Record]]:
        """What is new on raw, and on raw.low where raw is short."""
        low = self._low.read(_READ_LOW_MAX, 0.0) if self._is_raw_short() else self._low.keep_place()
        return self._raw.read(_READ_MAX, 0.0 if low or self._undone else _IDLE_S), low

    def _keep_place(self) -> tuple[list[Record], list[Record]]:
        """Stay in the groups while so much that could not be passed on is tried again."""
        return self._raw.keep_place(), self._low.keep_place()

    def _gather(self, new: tuple[list[Record], list[Record]]) -> None:
        """What is new goes with what is left, and does not wait for it; what is not ours any more is left to others.

        raw first, also in the order of passing on.
        """
        undone = dict(self._undone)
        mine = [
            (reader, [one for one in undone.get(reader, []) + came if (one.topic, one.partition) in reader.assigned])
            for reader, came in zip((self._raw, self._low), new, strict=True)
        ]
        self._undone = [(reader, records) for reader, records in mine if records]

    def _is_raw_short(self) -> bool:
        is_short = self._raw.backlog(sorted(self._raw.assigned)) < _SHORT
        (self._low.resume if is_short else self._low.pause)(sorted(self._low.assigned))
        return is_short

    def _pass_on(self, records: list[Record]) -> None:
        """Write what the records come to. Raises StoreUnavailableError where not all of it became durable.

        Where Kafka takes records, but a lane's partition does not, that lane's deliveries are parked: one that is short
        of replicas must not hold up the others. What landed all the same is found by its claim.
        """
        acks: list[Ack] = []
        sent: list[tuple[Delivery, Ack]] = []
        full: list[Parked] = []
        tally = RouteTally()
        for record in records:
            routed = traced_route(record, self._catalogue, self._tracer)
            tally.note(routed)
            acks += self._write_outcome(routed, record)
            for delivery in routed.deliveries:
                try:
                    ack = self._writer.write(delivery.lane.topic, delivery.event.user_id, encode(delivery))
                    sent.append((delivery, ack))
                except TopicFullError:
                    full.append(_parked(delivery))
        acks += self._park(full)
        self._writer.wait([*acks, *(ack for _, ack in sent)], _ACK_SHORT_S if self._has_refusing_lane else _ACK_S)
        refused = [_parked(delivery) for delivery, ack in sent if not ack.is_durable]
        if refused and len(refused) < len(sent):
            more = self._park(refused)
            self._writer.wait(more, _ACK_S)
            acks += more
        if len(refused) == len(sent) > 0 or not all(ack.is_durable for ack in acks):
            raise StoreUnavailableError("Kafka did not acknowledge all that was routed")
        self._has_refusing_lane = bool(refused)
        tally.count()

    def _write_outcome(self, routed: Routed, record: Record) -> list[Ack]:
        if routed.outcome is None:
            return []
        trace = trace_of(read_traceparent(record.header("ce_traceparent")))
        reason = str(routed.outcome.reason)
        _log.warning("event_not_routed", notification_id=routed.outcome.notification_id, reason=reason, **trace)
        acks = [self._writer.write(OUTCOMES_TOPIC, routed.outcome.notification_id, encode(routed.outcome))]
        if routed.is_dead:
            acks.append(write_dead_letter(self._writer, routed.outcome, origin_of(record)))
        return acks

    def _park(self, full: list[Parked]) -> list[Ack]:
        """What the lanes have no room for waits in the parked table."""
        if not full:
            return []
        self._parked.park(full)
        _log.info("lane_full", parked=len(full))
        outcomes = [parked.outcome(now_ms()) for parked in full]
        return [self._writer.write(OUTCOMES_TOPIC, one.notification_id, encode(one)) for one in outcomes]


def _parked(delivery: Delivery) -> Parked:
    return Parked(delivery=delivery, due_at_ms=now_ms() + _LANE_FULL_MS, reason=Reason.LANE_FULL)


def _next_offsets(records: list[Record]) -> dict[tuple[str, int], int]:
    """Behind the last record of each partition."""
    offsets: dict[tuple[str, int], int] = {}
    for record in records:
        key = (record.topic, record.partition)
        offsets[key] = max(offsets.get(key, 0), record.offset + 1)
    return offsets
