"""The consumer groups: one a bridge, and for the dispatcher one a priority, so that no lane waits behind another's."""

from __future__ import annotations

from typing import Final

from app.domain.lane import LANE_BY_TOPIC, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC, Priority

ROUTER_GROUP: Final = "notify-router"
ROUTER_LOW_GROUP: Final = "notify-router-low"
TRACKER_GROUP: Final = "notify-tracker"
CALLBACKS_GROUP: Final = "notify-callbacks"


def dispatcher_group(priority: Priority) -> str:
    """The group that reads all lanes of a priority."""
    return f"notify-dispatcher-{priority}"


def group_of(topic: str) -> str | None:
    """Who reads the topic; None for one that nobody must have read to its end."""
    if lane := LANE_BY_TOPIC.get(topic):
        return dispatcher_group(lane.priority)
    return {RAW_TOPIC: ROUTER_GROUP, RAW_LOW_TOPIC: ROUTER_LOW_GROUP, OUTCOMES_TOPIC: TRACKER_GROUP}.get(topic)
