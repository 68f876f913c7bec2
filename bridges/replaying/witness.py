"""Asking every store what it knows of some deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.delivery import Delivery, DeliveryHead
from app.domain.errors import UndecodableError
from app.domain.lane import LANES, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC, Priority
from app.domain.outcome import Status
from app.domain.ports import Standing
from app.settings import Settings
from bridges.replaying.verdict import Evidence
from infrastructure import wiring
from infrastructure.kafka.groups import ROUTER_GROUP, ROUTER_LOW_GROUP, TRACKER_GROUP, dispatcher_group
from infrastructure.kafka.range_reader import RangeReader
from infrastructure.kafka.reader import Partition

T = TypeVar("T")


class _Head(Struct, frozen=True, kw_only=True):
    """As much of an outcome as a `Standing` tells."""

    notification_id: str
    delivery_id: str = ""
    pass_no: int = 0
    status: Status
    at_ms: int


class Witness:
    """Reads what is known. Memory is that of the deliveries asked for, however much waits. `close` when done."""

    def __init__(self, settings: Settings) -> None:
        self._parked = wiring.parked(settings)
        self._history = wiring.history(settings)
        self._claims = wiring.claim_review(settings)
        self._reader = RangeReader(settings)

    def routed(self) -> Mapping[Partition, int]:
        """Up to where the router has read each partition of raw and raw.low."""
        raw = self._reader.committed(ROUTER_GROUP, [RAW_TOPIC])
        return {**raw, **self._reader.committed(ROUTER_LOW_GROUP, [RAW_LOW_TOPIC])}

    def evidence(self, deliveries: Sequence[Delivery]) -> Evidence:
        """What is known of them. Raises StoreUnavailableError: without one of the stores nothing can be said."""
        looked_at_ms = now_ms()
        ids = {one.id for one in deliveries}
        events = {one.notification_id for one in deliveries}
        parked = self._parked.passes(sorted(ids))
        on_lane = self._on_lane(ids)
        told = self._under_way(events) + self._history.standings(sorted(events))
        ordered = sorted(ids)
        seen = zip(ordered, self._claims.seen(ordered), strict=True)
        return Evidence(
            looked_at_ms=looked_at_ms,
            on_lane=frozenset(on_lane),
            parked=parked,
            standings=_by(told, lambda one: one.delivery_id),
            of_events=_by([one for one in told if not one.delivery_id], lambda one: one.notification_id),
            claims={one: claim for one, claim in seen if claim is not None},
        )

    def close(self) -> None:
        """Give the connections back."""
        self._reader.close()

    def _on_lane(self, wanted: set[str]) -> set[str]:
        """Those that a dispatcher has still to finish."""
        found: set[str] = set()
        for priority in Priority:
            topics = [lane.topic for lane in LANES if lane.priority is priority]
            for records in self._reader.read(self._reader.uncommitted(dispatcher_group(priority), topics)):
                heads = (_decoded(record.value, DeliveryHead) for record in records)
                found |= {head.id for head in heads if head is not None and head.id in wanted}
        return found

    def _under_way(self, events: set[str]) -> list[Standing]:
        """Outcomes that the tracker has still to write."""
        found: list[Standing] = []
        for records in self._reader.read(self._reader.uncommitted(TRACKER_GROUP, [OUTCOMES_TOPIC])):
            heads = (_decoded(record.value, _Head) for record in records)
            found += [_standing(head) for head in heads if head is not None and head.notification_id in events]
        return found


def _standing(head: _Head) -> Standing:
    return Standing(**{name: getattr(head, name) for name in Standing.__struct_fields__})


def _by(told: Sequence[Standing], key: Callable[[Standing], str]) -> dict[str, list[Standing]]:
    found: dict[str, list[Standing]] = {}
    for one in told:
        found.setdefault(key(one), []).append(one)
    return found


def _decoded(body: bytes, kind: type[T]) -> T | None:
    try:
        return decode(body, kind)
    except UndecodableError:
        return None
