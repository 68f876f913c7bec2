"""Lanes: one priority x one channel, with the Kafka topic and the Celery queue that carry each."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from app.domain.channel import CHANNELS


class Priority(StrEnum):
    """How urgent a notification is; the order of the members is the order of service."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for the most urgent."""
        return _RANKS[self]


_RANKS = {priority: rank for rank, priority in enumerate(Priority)}

RAW_TOPIC = "notifications.raw"
RAW_LOW_TOPIC = "notifications.raw.low"
OUTCOMES_TOPIC = "notifications.outcomes"
FINISHED_TOPIC = "notifications.finished"
DEAD_TOPIC = "notifications.dead"


class Lane(Struct, frozen=True, order=True):
    """One priority x one channel."""

    priority: Priority
    channel: str

    @property
    def queue(self) -> str:
        """The Celery queue: `high.email`."""
        return f"{self.priority}.{self.channel}"

    @property
    def topic(self) -> str:
        """The Kafka topic: `notifications.high.email`."""
        return f"notifications.{self.queue}"

    @classmethod
    def parse(cls, queue: str) -> Lane:
        """The lane of a queue name. Raises ValueError for a name that is no lane's."""
        lane = LANE_BY_QUEUE.get(queue)
        if lane is None:
            raise ValueError(f"{queue!r} is not a lane")
        return lane


LANES: tuple[Lane, ...] = tuple(Lane(priority, spec.name) for priority in Priority for spec in CHANNELS)
LANE_BY_QUEUE: dict[str, Lane] = {lane.queue: lane for lane in LANES}
LANE_BY_TOPIC: dict[str, Lane] = {lane.topic: lane for lane in LANES}
ALL_TOPICS: tuple[str, ...] = (RAW_TOPIC, RAW_LOW_TOPIC, *LANE_BY_TOPIC, FINISHED_TOPIC, OUTCOMES_TOPIC, DEAD_TOPIC)


def expand_queues(names: list[str]) -> list[str]:
    """Lane queues for what a worker's `-Q` names: a priority stands for all its lanes, a lane for itself.

    Order is kept, doubles are dropped. Raises ValueError for a name that is neither.
    """
    queues: list[str] = []
    for name in names:
        if name in _RANKS:
            queues += [lane.queue for lane in LANES if lane.priority == name]
        else:
            queues.append(Lane.parse(name).queue)
    return list(dict.fromkeys(queues))
