"""Parking what is left in Kafka, for a broker that keeps nothing over a stop (the embedded one).

Runs when all other parts but SQL have stopped. What was delivered and not committed yet is recognised by its claim when
it comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import structlog

from app.domain.batch import Finished
from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import UndecodableError
from app.domain.lane import FINISHED_TOPIC, LANES, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC, Priority
from app.domain.outcome import Outcome, Reason
from app.settings import Settings
from bridges.callbacks import callbacks_of
from bridges.dispatch.finished import FinishedView
from bridges.routing import route
from infrastructure import wiring
from infrastructure.kafka.groups import (
    CALLBACKS_GROUP,
    ROUTER_GROUP,
    ROUTER_LOW_GROUP,
    TRACKER_GROUP,
    dispatcher_group,
)
from infrastructure.kafka.reader import LeftoverReader, Partition, TailReader
from infrastructure.kafka.records import Record

_log = structlog.get_logger()

T = TypeVar("T")

#: Longest reading of one group's leftovers; `manage.py up` gives the whole of it longer.
_TIMEOUT_S = 60.0
_CHUNK = 500


def evacuate(settings: Settings) -> int:
    """Park every delivery and event that is not finished; how many. Raises StoreUnavailableError."""
    _keep_callbacks(settings)
    outcomes = _decoded(_leftovers(settings, TRACKER_GROUP, [OUTCOMES_TOPIC]), Outcome)
    deliveries = _decoded(_unfinished(settings), Delivery)
    catalogue = wiring.catalogue(settings)
    for group, topic in ((ROUTER_GROUP, RAW_TOPIC), (ROUTER_LOW_GROUP, RAW_LOW_TOPIC)):
        for record in _leftovers(settings, group, [topic]):
            routed = route(record, catalogue, now_ms())
            deliveries += routed.deliveries
            outcomes += [routed.outcome] if routed.outcome is not None else []
    rows = [Parked(delivery=delivery, due_at_ms=now_ms(), reason=Reason.SHUTDOWN) for delivery in deliveries]
    store, history = wiring.parked(settings), wiring.history(settings)
    for chunk in _chunks(rows):
        store.park(chunk)
        history.append([row.outcome(now_ms()) for row in chunk])
    for told in _chunks(outcomes):
        history.append(told)
    return len(rows)


def _keep_callbacks(settings: Settings) -> None:
    """Of outcomes that were not looked at for callbacks."""
    if not settings.has_callbacks:
        return
    receivers, pending = wiring.callback_receivers(settings), wiring.pending_callbacks(settings)
    for left in _chunks(_leftovers(settings, CALLBACKS_GROUP, [OUTCOMES_TOPIC])):
        pending.add(callbacks_of(left, receivers))


def _chunks(things: list[T]) -> Iterator[list[T]]:
    return (things[start : start + _CHUNK] for start in range(0, len(things), _CHUNK))


def _decoded(records: list[Record], kind: type[T]) -> list[T]:
    """The records; one that is none is logged and left: it would stop all others from being parked."""
    found = []
    for record in records:
        try:
            found.append(decode(record.value, kind))
        except UndecodableError:
            _log.error("left_record_undecodable", topic=record.topic, partition=record.partition, offset=record.offset)
    return found


def _leftovers(settings: Settings, group: str, topics: list[str]) -> list[Record]:
    reader = LeftoverReader(settings, group)
    try:
        return reader.read_all(topics, lambda _, committed: committed, _TIMEOUT_S)
    finally:
        reader.close()


def _unfinished(settings: Settings) -> list[Record]:
    """Lane records that neither commits nor `finished` know as done."""
    view = FinishedView()
    found: list[Record] = []
    tail = TailReader(settings, FINISHED_TOPIC)
    try:
        tail.read_to_end(found.append, _TIMEOUT_S)
    finally:
        tail.close()
    for finished in _decoded(found, Finished):
        view.apply(finished, now_ms())

    def start(partition: Partition, committed: int) -> int:
        newest = view.newest(*partition)
        return max(committed, newest.first_open) if newest else committed

    records: list[Record] = []
    for priority in Priority:
        reader = LeftoverReader(settings, dispatcher_group(priority))
        try:
            topics = [lane.topic for lane in LANES if lane.priority is priority]
            records += reader.read_all(topics, start, _TIMEOUT_S)
        finally:
            reader.close()
    return [record for record in records if not _is_finished(record, view)]


def _is_finished(record: Record, view: FinishedView) -> bool:
    newest = view.newest(record.topic, record.partition)
    if newest is None or record.offset > newest.last:
        return False
    return record.offset not in {offset for offset, _ in newest.open}
