"""What a burst does to waiting times: a discrete-event simulation of partitions, batches and worker children.

A partition has one batch out at a time; a batch is what waited when it was made, up to its largest; of a network
channel no more are out than its bound lets, of medium and low no more than half of that. Children take batches by
priority. Pools are independent of each other, so each is simulated by itself, at a scale of some `CHILDREN`: rates,
partitions and bound are scaled alike.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Sequence
from typing import Any

import simpy
from msgspec import Struct

from app.capacity.plan import LaneNeed, PoolNeed
from app.domain.channel import may_go_out
from app.domain.lane import Priority

CHILDREN = 16
#: Deliveries of a partition arrive in so many portions a second at most, whole ones.
ARRIVALS = 20
STEADY_S = 10.0
#: Longest time after the burst that is looked at, and how often.
AFTER_S = 3600.0
LOOK_S = 5.0

Step = Generator[simpy.Event, Any, None]


class Waiting(Struct, frozen=True, kw_only=True):
    """Seconds from arrival to the end of the delivery's batch, of those that came in the burst."""

    priority: Priority
    median_s: float
    p95_s: float
    longest_s: float


class _Partition:
    def __init__(self, need: LaneNeed, rate: float, turn_s: float) -> None:
        self.priority = need.lane.priority
        self.rate = rate
        self.child_s = need.child_us / 1e6
        self.batch = need.batch
        self.turn_s = turn_s
        self.waiting: deque[tuple[float, int]] = deque()  # when they came, how many
        self.is_out = False

    def take(self) -> list[tuple[float, int]]:
        """The next batch."""
        taken, left = list[tuple[float, int]](), self.batch
        while self.waiting and left:
            at_s, count = self.waiting.popleft()
            part = min(count, left)
            left -= part
            taken.append((at_s, part))
            if part < count:
                self.waiting.appendleft((at_s, count - part))
        return taken


class _RunningPool:
    """Partitions that have something to do, children that wait for it, and what each delivery waited."""

    def __init__(self, env: simpy.Environment, bound: int) -> None:
        self._env = env
        self._bound = bound
        self._out: Counter[Priority] = Counter()
        self._held: dict[Priority, deque[_Partition]] = {one: deque() for one in Priority}
        self._queues: dict[Priority, deque[_Partition]] = {one: deque() for one in Priority}
        self._idle: deque[simpy.Event] = deque()
        self.took: dict[Priority, Counter[float]] = {one: Counter() for one in Priority}
        #: Deliveries that came in the burst and are not through.
        self.burst_left = 0
        self.burst_from_s = self.burst_until_s = 0.0

    def arrive(self, partition: _Partition, count: int) -> None:
        """So many deliveries come to a partition now."""
        self.burst_left += count * self._is_of_burst(self._env.now)
        partition.waiting.append((self._env.now, count))
        self._offer(partition)

    def child(self) -> Step:
        """A worker child."""
        while True:
            partition = next((queue.popleft() for queue in self._queues.values() if queue), None)
            if partition is None:
                event = self._env.event()
                self._idle.append(event)
                yield event
                continue
            batch = partition.take()
            yield self._env.timeout(sum(count for _, count in batch) * partition.child_s)
            for at_s, count in batch:
                if self._is_of_burst(at_s):
                    self.burst_left -= count
                    self.took[partition.priority][self._env.now - at_s] += count
            self._env.process(self._turn(partition))

    def _is_of_burst(self, at_s: float) -> bool:
        return self.burst_from_s <= at_s < self.burst_until_s

    def _turn(self, partition: _Partition) -> Step:
        """Until the dispatcher has read that the batch is finished."""
        yield self._env.timeout(partition.turn_s)
        partition.is_out = False
        self._out[partition.priority] -= 1
        self._offer(partition)
        for priority, held in self._held.items():
            while held and self._may_go(priority):
                self._send(held.popleft())

    def _offer(self, partition: _Partition) -> None:
        """The partition's next batch goes to its queue, unless one is out, or as soon as the bound lets it."""
        if partition.is_out or not partition.waiting:
            return
        partition.is_out = True
        if self._may_go(partition.priority):
            self._send(partition)
        else:
            self._held[partition.priority].append(partition)

    def _may_go(self, priority: Priority) -> bool:
        if not self._bound:
            return True
        high = self._out[Priority.HIGH]
        others = self._out.total() - high
        others_wait = bool(self._held[Priority.MEDIUM] or self._held[Priority.LOW])
        return may_go_out(
            is_high=priority is Priority.HIGH, high=high, others=others, bound=self._bound, others_wait=others_wait
        )

    def _send(self, partition: _Partition) -> None:
        self._out[partition.priority] += 1
        self._queues[partition.priority].append(partition)
        if self._idle:
            self._idle.popleft().succeed()


def waiting_times(pools: Sequence[PoolNeed], *, turn_ms: float, times: float, seconds: float) -> list[Waiting]:
    """By priority: the plan's rates, then `times` as much for so many seconds, then as before until that is through."""
    took: dict[Priority, Counter[float]] = {one: Counter() for one in Priority}
    for pool in pools:
        scale = min(1.0, CHILDREN / pool.children)
        for priority, found in _simulated(pool, scale, turn_ms / 1000, times, seconds).items():
            for waited_s, count in found.items():
                took[priority][waited_s] += round(count / scale)
    return [_waiting(priority, found) for priority, found in took.items() if found]


def _simulated(
    pool: PoolNeed, scale: float, turn_s: float, times: float, seconds: float
) -> dict[Priority, Counter[float]]:
    env = simpy.Environment()
    running = _RunningPool(env, max(1, round(pool.bound * scale)) if pool.bound else 0)
    running.burst_from_s, running.burst_until_s = STEADY_S, STEADY_S + seconds
    # All topics have as many partitions: what the largest lane needs (`NOTIFY_KAFKA_PARTITIONS` is one number).
    number = max(1, round(max(need.partitions for need in pool.lanes) * scale))
    for need in pool.lanes:
        for index in range(number):
            partition = _Partition(need, need.rate * scale / number, turn_s)
            env.process(_arrivals(env, running, partition, times, index / number))
    for _ in range(max(1, round(pool.children * scale))):
        env.process(running.child())
    env.run(until=running.burst_until_s)
    while running.burst_left and env.now < running.burst_until_s + AFTER_S:
        env.run(until=env.now + LOOK_S)
    return running.took


def _arrivals(env: simpy.Environment, running: _RunningPool, partition: _Partition, times: float, phase: float) -> Step:
    """Whole deliveries; those of several partitions not at the same moment."""
    carried = phase
    while True:
        is_burst = running.burst_from_s <= env.now < running.burst_until_s
        carried += partition.rate * (times if is_burst else 1.0) / ARRIVALS
        if count := int(carried):
            running.arrive(partition, count)
            carried -= count
        yield env.timeout(1 / ARRIVALS)


def _waiting(priority: Priority, took: Counter[float]) -> Waiting:
    ordered = sorted(took.items())
    return Waiting(
        priority=priority,
        median_s=_at_share(ordered, 0.5),
        p95_s=_at_share(ordered, 0.95),
        longest_s=ordered[-1][0],
    )


def _at_share(ordered: Sequence[tuple[float, int]], share: float) -> float:
    """Seconds that this share of the deliveries did not wait longer than."""
    left = share * sum(count for _, count in ordered)
    for waited_s, count in ordered:
        left -= count
        if left <= 0:
            return waited_s
    return ordered[-1][0]
