"""What is asked of an installation."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.lane import LANES, Lane, Priority

#: How a provider's answer is assumed to take, milliseconds, where nothing else is said.
LATENCY_MS: Mapping[str, float] = {
    "email": 20.0,
    "push": 100.0,
    "sms": 150.0,
    "webhook": 150.0,
    "chat": 200.0,
    "in_app": 0.0,
    "log": 0.0,
}
_ROUNDING = 0.001
PRIORITIES: Mapping[str, float] = {"high": 0.1, "medium": 0.5, "low": 0.4}


class Demand(Struct, frozen=True, kw_only=True):
    """`rate`: events/s. `channels`: deliveries an event, by channel. `priorities`: shares of the events, 1 together.

    `latency_ms`: of a provider's answer, by channel. `use`: how busy a process may be, 0 to 1. `is_batched`: events
    come in batches of some hundred, not one a request. `node_cores`: of a Kafka broker or Cassandra node.
    """

    rate: float
    channels: Mapping[str, float]
    priorities: Mapping[str, float]
    latency_ms: Mapping[str, float]
    use: float
    is_batched: bool
    node_cores: int

    @property
    def deliveries(self) -> float:
        """Deliveries/s."""
        return self.rate * sum(self.channels.values())

    def lanes(self) -> dict[Lane, float]:
        """Deliveries/s of each lane that has any, the most urgent first."""
        found = {
            lane: self.rate * self.channels.get(lane.channel, 0.0) * self.priorities.get(lane.priority, 0.0)
            for lane in LANES
        }
        return {lane: rate for lane, rate in found.items() if rate}

    def faults(self) -> list[str]:
        """What cannot be planned for, each with the name of what is wrong; empty where all is well."""
        unknown = [name for name in (*self.channels, *self.latency_ms) if name not in CHANNEL_BY_NAME]
        strange = [name for name in self.priorities if name not in set(Priority)]
        given = (*self.channels.values(), *self.priorities.values(), *self.latency_ms.values())
        return [
            *(f"channel {name!r} is none of {', '.join(CHANNEL_BY_NAME)}" for name in dict.fromkeys(unknown)),
            *(f"priority {name!r} is none of {', '.join(Priority)}" for name in strange),
            *(["--rate must be more than 0"] if self.rate <= 0 else []),
            *(["--channels must name a channel with more than 0"] if not sum(self.channels.values()) else []),
            *(["no share, number or latency may be less than 0"] if min(given, default=0.0) < 0 else []),
            *(["--priorities must be 1 together"] if abs(sum(self.priorities.values()) - 1) > _ROUNDING else []),
            *(["--use must be more than 0 and at most 1"] if not 0 < self.use <= 1 else []),
        ]
