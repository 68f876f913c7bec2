"""What the router counts: once a read, when all of it is durable."""

from __future__ import annotations

from collections import Counter

from app.domain.meter import METER
from app.domain.metric_catalogue import NOT_ROUTED, ROUTED
from bridges.routing import Routed


class RouteTally:
    """What the records of one read came to."""

    def __init__(self) -> None:
        self._lanes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def note(self, routed: Routed) -> None:
        """One record."""
        self._lanes.update(delivery.lane.queue for delivery in routed.deliveries)
        if routed.outcome is not None:
            self._reasons[routed.outcome.reason] += 1

    def count(self) -> None:
        """All of it is written."""
        for lane, deliveries in self._lanes.items():
            METER.count(ROUTED, (lane,), deliveries)
        for reason, events in self._reasons.items():
            METER.count(NOT_ROUTED, (reason,), events)
