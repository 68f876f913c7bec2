"""What the dispatcher counts: once a batch."""

from __future__ import annotations

from collections import Counter

from app.domain.batch import Finished
from app.domain.clock import now_ms
from app.domain.lane import LANE_BY_TOPIC, Lane
from app.domain.meter import METER
from app.domain.metric_catalogue import BATCH, BATCH_WALL, LOST, SENT_AGAIN


def sent(lane: Lane, deliveries: int) -> None:
    """A copy is on its queue."""
    METER.observe(BATCH, deliveries, (lane.queue,))


def came_back(finished: Finished, *, goes_again: bool) -> None:
    """The copy that was out has reported; what is left of the batch, or its next part, may go again."""
    priority = str(LANE_BY_TOPIC[finished.topic].priority)
    METER.observe(BATCH_WALL, max(0, now_ms() - finished.sent_at_ms) / 1000, (priority,))
    if goes_again and finished.open:
        [(why, _)] = Counter(reason for _, reason in finished.open).most_common(1)
        METER.count(SENT_AGAIN, (priority, why))


def lost(lane: Lane) -> None:
    """No news of a copy came in time."""
    METER.count(SENT_AGAIN, (str(lane.priority), LOST))
