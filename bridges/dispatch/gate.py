"""Whether a lane may send now, and how much: what is out, what lies in the broker, breakers, limits, room."""

from __future__ import annotations

import time
from collections.abc import Mapping

from app.domain.channel import CHANNEL_BY_NAME, may_go_out
from app.domain.clock import now_ms
from app.domain.delivery_rules import is_paused
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC, Lane, Priority
from app.domain.local_limits import LocalLimits
from app.domain.ports import Breakers, Channels, LaneLimits
from app.settings import Settings
from bridges.dispatch.known import Recent, channel_bound
from infrastructure import wiring
from infrastructure.kafka.writer import RecordWriter

#: How old what Redis said of workers and of queues may be.
_WORKERS_S = 2.0
_QUEUES_S = 0.1
_ROOM_S = 0.1
#: How long a lane that Redis had no answer for is left alone.
_HOLD_S = 1.0


class Gate:
    """Asked before a batch is cut (`may_send`, `allowance`); everything it knows is at most some 100 ms old."""

    def __init__(self, settings: Settings, writer: RecordWriter) -> None:
        self._settings = settings
        self._limits: LaneLimits = wiring.lane_limits(settings)
        self._local: LocalLimits = wiring.local_limits(settings)
        self._breakers: Breakers = wiring.breakers(settings)
        self._channels: Channels = wiring.channels(settings)
        self._broker = wiring.broker_queues(settings)
        self._children = Recent[Mapping[str, int]](wiring.worker_registry(settings).children, _WORKERS_S, {})
        self._sizes = Recent[Mapping[str, int]](self._broker.sizes, _QUEUES_S, {})
        self._has_room = Recent(lambda: writer.has_room(OUTCOMES_TOPIC), _ROOM_S, first=False)
        self._held_until: dict[str, float] = {}

    def may_send(self, lane: Lane, out: Mapping[Lane, int], share: float) -> bool:
        """Whether another batch of the lane may go. `out`: batches out by lane; `share`: of its partitions, ours."""
        return (
            time.monotonic() >= self._held_until.get(lane.queue, 0.0)
            and self._has_room()
            and self._has_claims(lane)
            and self._is_within_channel(lane, out, share)
            and self._is_within_broker(lane)
            and not self._is_paused(lane)
        )

    def allowance(self, lane: Lane, wanted: int) -> int:
        """How many of the deliveries the lane's limits let go now; where none, the lane is held until they do."""
        try:
            pace = self._limits.ask(lane.queue, wanted)
        except StoreUnavailableError:
            if lane.priority is not Priority.HIGH:
                self.hold(lane)
                return 0
            pace = self._local.ask(lane.queue, wanted)
        if not pace.granted:
            self.hold(lane, pace.retry_after_s)
        return pace.granted

    def hold(self, lane: Lane, seconds: float = _HOLD_S) -> None:
        """Leave the lane alone for a while."""
        self._held_until[lane.queue] = time.monotonic() + seconds

    def is_empty(self, queue: str) -> bool:
        """Whether the broker's queue is known to be empty, asked now."""
        try:
            return self._broker.lengths()[queue] == 0
        except StoreUnavailableError:
            return False

    def _has_claims(self, lane: Lane) -> bool:
        """Whether the Redis of claims answers, for those that do not go without: a worker could only hand them back."""
        if lane.priority is Priority.HIGH:
            return True
        self._children()  # which is there, too
        return not self._children.is_old

    def _is_within_channel(self, lane: Lane, out: Mapping[Lane, int], share: float) -> bool:
        """A channel that calls a network leaves a child free for the others."""
        if not CHANNEL_BY_NAME[lane.channel].calls_network:
            return True
        bound = channel_bound(self._children(), lane.channel, share)
        of_channel = {one: count for one, count in out.items() if one.channel == lane.channel}
        others = sum(count for one, count in of_channel.items() if one.priority is not Priority.HIGH)
        high = sum(of_channel.values()) - others
        return may_go_out(is_high=lane.priority is Priority.HIGH, high=high, others=others, bound=bound)

    def _is_within_broker(self, lane: Lane) -> bool:
        sizes = self._sizes()
        total = sum(sizes.values())
        if lane.priority is not Priority.HIGH:
            others = sum(size for queue, size in sizes.items() if not queue.startswith(Priority.HIGH))
            if others >= self._settings.queue_bytes // 2:
                return False
        return total < self._settings.queue_bytes

    def _is_paused(self, lane: Lane) -> bool:
        """Whether the channel's provider is being left alone (a host's breaker parks, in the worker)."""
        provider = self._channels.provider(lane.channel)
        spec = CHANNEL_BY_NAME[lane.channel]
        if provider is None or spec.breaker_per_target:
            return False  # a host's key needs an address
        return is_paused(spec, self._breakers.state(provider.breaker_key("")), now_ms())
