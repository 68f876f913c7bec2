"""Whether a lane may send now, and how much: what is out, what lies in the broker, breakers, limits, room."""

from __future__ import annotations

import time
from collections.abc import Mapping

from app.domain.channel import CHANNEL_BY_NAME, ChannelSpec
from app.domain.clock import now_ms
from app.domain.delivery_rules import is_paused
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC, Lane, Priority
from app.domain.local_limits import LocalLimits
from app.domain.ports import Breakers, Channels, LaneLimits, Provider
from app.settings import Settings
from bridges.dispatch.channel_bound import ChannelBound, Traffic
from bridges.dispatch.known import Recent
from infrastructure import wiring
from infrastructure.kafka.writer import RecordWriter

#: How old what Redis said of workers and of queues may be.
_WORKERS_S = 2.0
_QUEUES_S = 0.1
_ROOM_S = 0.1
#: How long a lane that Redis had no answer for is left alone.
_HOLD_S = 1.0
#: And one whose channel's places other dispatchers have.
_PLACE_S = 0.02


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
        self._bound = ChannelBound(wiring.batch_leases(settings), self._children)
        self._sizes = Recent[Mapping[str, int]](self._broker.sizes, _QUEUES_S, {})
        self._lengths = Recent[tuple[int, Mapping[str, int]]](self._read_lengths, _QUEUES_S, (0, {}))
        self._has_room = Recent(lambda: writer.has_room(OUTCOMES_TOPIC), _ROOM_S, first=False)
        self._held_until: dict[str, float] = {}

    def may_send(self, lane: Lane, traffic: Traffic) -> bool:
        """Whether another batch of the lane may go, by what this process knows."""
        return self._has_room() and self._bound.has_place(lane, traffic) and self.can_go(lane)

    def can_go(self, lane: Lane) -> bool:
        """Whether anything but the channel's bound would let it."""
        return (
            time.monotonic() >= self._held_until.get(lane.queue, 0.0)
            and self._has_claims(lane)
            and self._is_within_broker(lane)
            and not self._is_paused(lane)
        )

    def enter(
        self, lane: Lane, partition: int, *, not_after_ms: int, life_ms: int, traffic: Traffic, share: float
    ) -> bool:
        """Take one of the channel's places for a copy that is over by then; where none is left, hold the lane.

        `share`: which part of the lane's partitions is ours.
        """
        try:
            if self._bound.enter(
                lane, partition, not_after_ms=not_after_ms, life_ms=life_ms, traffic=traffic, share=share
            ):
                return True
        except StoreUnavailableError:
            self.hold(lane)
            return False
        self.hold(lane, _PLACE_S)
        return False

    def leave(self, lane: Lane, partition: int, not_after_ms: int) -> None:
        """That copy of the partition's batch is through, or was not made."""
        self._bound.leave(lane, partition, not_after_ms)

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

    def empty_at_ms(self, queue: str) -> int:
        """When the broker's queue was last known to be empty; 0 where it has something, or nobody knows.

        What was put there before is there no more, whatever was put there since: so a reading may be old, if only it is
        younger than what is asked about. Asked anew each time, the broker would be asked at every turn for every
        overdue copy for as long as workers are away.
        """
        asked_at_ms, lengths = self._lengths()
        return 0 if self._lengths.is_old or lengths[queue] else asked_at_ms

    def _read_lengths(self) -> tuple[int, Mapping[str, int]]:
        """With the time from before the question: the answer may have been under way for long."""
        asked_at_ms = now_ms()
        return asked_at_ms, self._broker.lengths()

    def _has_claims(self, lane: Lane) -> bool:
        """Whether the Redis of claims answers, for those that do not go without: a worker could only hand them back."""
        if lane.priority is Priority.HIGH:
            return True
        self._children()  # which is there, too
        return not self._children.is_old

    def _is_within_broker(self, lane: Lane) -> bool:
        sizes = self._sizes()
        total = sum(sizes.values())
        if lane.priority is not Priority.HIGH:
            others = sum(size for queue, size in sizes.items() if not queue.startswith(Priority.HIGH))
            if others >= self._settings.queue_bytes // 2:
                return False
        return total < self._settings.queue_bytes

    def _is_paused(self, lane: Lane) -> bool:
        """Whether all the channel's providers are being left alone (a host's breaker parks, in the worker)."""
        providers, spec = self._channels.providers(lane.channel), CHANNEL_BY_NAME[lane.channel]
        return bool(providers) and all(self._is_left_alone(provider, spec) for provider in providers)

    def _is_left_alone(self, provider: Provider, spec: ChannelSpec) -> bool:
        # a host's key needs an address; the look is for what operators have disabled
        key = provider.name if spec.breaker_per_target else provider.breaker_key("")
        state = self._breakers.state(key)
        return is_paused(spec, state, now_ms()) or self._breakers.off(provider.name) is not None
