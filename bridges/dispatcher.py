"""lanes -> Celery: sends micro-batches as the chain, and commits an offset when all up to it is final or parked.

A partition has one batch out at a time (`dispatch/partition.py`); whether a lane may send is asked of the gate
(`dispatch/gate.py`); what became of a batch is read from `notifications.finished` (`dispatch/finished.py`).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec
import structlog

from app.domain.batch import BatchHead, Finished, RawBatch, RawItem
from app.domain.channel import CHANNEL_BY_NAME
from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.errors import StoreUnavailableError, UndecodableError
from app.domain.lane import FINISHED_TOPIC, LANE_BY_TOPIC, LANES, Lane, Priority
from app.settings import Settings
from bridges.dispatch import measure
from bridges.dispatch.channel_bound import Traffic
from bridges.dispatch.dead import DeadLetters
from bridges.dispatch.finished import FinishedView
from bridges.dispatch.gate import Gate
from bridges.dispatch.order import Order
from bridges.dispatch.partition import Copy, Entry, PartitionState, ResendPolicy
from infrastructure.kafka.groups import dispatcher_group
from infrastructure.kafka.reader import GroupReader, Partition, TailReader
from infrastructure.kafka.records import Record
from infrastructure.kafka.writer import RecordWriter
from tasks.pipeline import send

_log = structlog.get_logger()

_READ_MAX = 500
_IDLE_S = 0.004
_COMMIT_EVERY_S = 0.2
_FINISHED_TIMEOUT_S = 30.0
_ACK_S = 10.0
#: Size of the first batches of a network channel, before anything is known of its speed.
_FIRST_NETWORK_BATCH = 25
_BACKOFF_BASE_MS = 1000
_BACKOFF_CAP_HIGH_MS = 5000
_BACKOFF_CAP_MS = 30_000


class Dispatcher:
    """The loop. Several may run: each has its partitions. One group a priority: high never waits behind low."""

    name = "dispatcher"

    def __init__(self, settings: Settings, priorities: Sequence[Priority] = tuple(Priority)) -> None:
        self._settings = settings
        self._writer = RecordWriter(settings, timeout_s=_ACK_S)
        self._gate = Gate(settings, self._writer)
        self._dead = DeadLetters(self._writer)
        self._finished = FinishedView()
        self._tail = TailReader(settings, FINISHED_TOPIC)
        self._states: dict[Partition, PartitionState] = {}
        self._committed: dict[Partition, int] = {}
        self._commit_at = 0.0
        self._broker_left_until = 0.0
        self._order = Order()
        self._now_ms = 0
        self._gathering_since: dict[Partition, float] = {}
        self._readers = {
            priority: GroupReader(
                settings,
                dispatcher_group(priority),
                [lane.topic for lane in LANES if lane.priority is priority],
                on_assigned=self._assigned,
                on_revoked=self._revoked,
            )
            for priority in priorities
        }

    def is_ready(self) -> bool:
        """Whether every group has given it partitions."""
        return all(reader.assigned for reader in self._readers.values())

    def turn(self) -> None:
        """Read what finished and what is new, send what may be sent, commit."""
        self._read_finished()
        has_read = self._read_lanes()
        has_sent = self._send()
        self._commit()
        if not (has_read or has_sent):
            self._wait()

    def batches_out(self) -> Counter[Lane]:
        """How many batches are with the workers, by lane. Other threads may ask."""
        states = list(self._states.values())
        return Counter(LANE_BY_TOPIC[state.topic] for state in states if state.copy is not None)

    def close(self) -> None:
        """Commit and leave the groups; what is out goes on, its finished records are for the next owner."""
        self._read_finished()
        self._commit_at = 0.0
        try:
            self._commit()
        finally:
            for reader in self._readers.values():
                reader.close()
            self._tail.close()
            self._writer.close()

    # what comes in

    def _wait(self) -> None:
        """Rest until there is news of high, or of whatever this process serves."""
        first = next(iter(self._readers.values()))
        self._feed(first.read(_READ_MAX, _IDLE_S))

    def _read_lanes(self) -> bool:
        has_read = False
        for reader in self._readers.values():
            records = reader.read(_READ_MAX, 0.0)
            self._feed(records)
            has_read = has_read or bool(records)
        return has_read

    def _feed(self, records: Sequence[Record]) -> None:
        for key, group in groupby(records, key=lambda record: (record.topic, record.partition)):
            state = self._states.get(key)
            if state is not None:
                state.feed(Entry(record.offset, record.value) for record in group if self._dead.is_sound(record))
                if self._is_full(state):
                    self._readers[LANE_BY_TOPIC[key[0]].priority].pause([key])

    def _read_on(self, state: PartitionState) -> None:
        """Read from a partition that was paused again, unless its next batch is there."""
        if not self._is_full(state):
            self._readers[LANE_BY_TOPIC[state.topic].priority].resume([(state.topic, state.partition)])

    def _is_full(self, state: PartitionState) -> bool:
        """Whether the next batch is there: a backlog stays in Kafka."""
        return state.has_buffered(count=self._settings.batch_max, size=self._settings.batch_bytes)

    def _read_finished(self) -> None:
        while records := self._tail.read():
            for record in records:
                self._note(record)

    def _note(self, record: Record) -> None:
        if not record.value:  # a key that was deleted
            return
        try:
            finished = decode(record.value, Finished)
        except UndecodableError:
            _log.error("finished_undecodable", partition=record.partition, offset=record.offset)
            return
        now = self._clock_ms()
        self._finished.apply(finished, now)
        state = self._states.get((finished.topic, finished.partition))
        if state is None:
            return
        if state.apply(finished, now, random.random):
            measure.came_back(finished, goes_again=not (state.is_idle or state.may_join))
        if state.copy is None:  # also where it was sent by who had the partition before
            self._gate.leave(LANE_BY_TOPIC[state.topic], state.partition, finished.not_after_ms)
        self._read_on(state)  # an earlier owner's copy may have finished what is buffered here: nothing would be cut

    # what goes out

    def _send(self) -> bool:
        """Send, high first, until nothing more may go, or one batch of low has: then look for news of high first.

        A broker that did not take one is left alone for a while: its time-outs, one a partition, would stop the loop.
        """
        if time.monotonic() < self._broker_left_until:
            return False
        out = self.batches_out()
        traffic = Traffic(out, self._others_wait())
        for state in self._order.sort(self._states.values(), _place):
            lane = LANE_BY_TOPIC[state.topic]
            if self._step(state, lane, traffic):
                self._order.served(lane, state.partition)
                out[lane] += 1
                if lane.priority is not Priority.HIGH:
                    return True
            elif time.monotonic() < self._broker_left_until:
                return False
        return False

    def _others_wait(self) -> frozenset[str]:
        """Channels with a bound of which there is medium or low out, or could go if there were a place."""
        return frozenset(
            lane.channel
            for lane, state in ((LANE_BY_TOPIC[state.topic], state) for state in self._states.values())
            if lane.priority is not Priority.HIGH
            and CHANNEL_BY_NAME[lane.channel].calls_network
            and (state.buffered if state.is_idle else state.copy is not None or state.is_due(self._now_ms))
            and (state.copy is not None or self._gate.can_go(lane))
        )

    def _step(self, state: PartitionState, lane: Lane, traffic: Traffic) -> bool:
        """Whether a copy of this partition's batch was sent."""
        now = self._clock_ms()
        if state.is_overdue(now) and state.copy is not None and self._is_gone(lane, state, state.copy):
            _log.warning("batch_sent_again", queue=lane.queue, partition=state.partition, deliveries=state.pending)
            measure.lost(lane)
            state.lose(now)
        is_next = state.is_due(now) or ((state.is_idle or state.may_join) and self._is_ripe(state, lane))
        if not is_next or not self._gate.may_send(lane, traffic):
            return False
        life_ms = self._life_ms(lane)
        if not self._gate.enter(
            lane,
            state.partition,
            not_after_ms=now + life_ms,
            life_ms=life_ms,
            traffic=traffic,
            share=self._share(lane),
        ):
            return False
        if not state.is_due(now):
            self._cut(state, lane)
        if not state.is_due(now):
            self._gate.leave(lane, state.partition, now + life_ms)
            return False
        # Where the broker does not say that it took it, it may have: the place is kept for the next try.
        return self._put(state, lane, now, now + life_ms)

    def _life_ms(self, lane: Lane) -> int:
        """How long a copy lives."""
        is_high = lane.priority is Priority.HIGH
        return int((self._settings.not_after_high_s if is_high else self._settings.not_after_s) * 1000)

    def _is_ripe(self, state: PartitionState, lane: Lane) -> bool:
        """Whether there is a batch to send. Low gathers for a moment: a batch costs about as much whatever its size."""
        if not state.buffered:
            return False
        if lane.priority is not Priority.LOW or self._is_full(state):
            return True
        since = self._gathering_since.setdefault((state.topic, state.partition), time.monotonic())
        return time.monotonic() - since >= self._settings.linger_low_ms / 1000

    def _is_gone(self, lane: Lane, state: PartitionState, copy: Copy) -> bool:
        """Whether an overdue copy cannot run any more: its queue has moved past it, or was empty since it is overdue.

        Empty before, it tells less: a worker that was told to stop gives back what it had fetched and not begun.
        """
        if self._finished.has_moved_past(lane.queue, copy.sent_at_ms):
            return True
        return state.is_overdue(self._gate.empty_at_ms(lane.queue))

    def _cut(self, state: PartitionState, lane: Lane) -> None:
        wanted = state.next_size(count=self._batch_size(lane), size=self._settings.batch_bytes)
        granted = self._gate.allowance(lane, wanted)
        if granted:
            take = state.cut if state.is_idle else state.join
            take(min(granted, wanted))
            self._gathering_since.pop((state.topic, state.partition), None)
            self._read_on(state)

    def _put(self, state: PartitionState, lane: Lane, now: int, not_after_ms: int) -> bool:
        copy = state.send(now, not_after_ms, count=self._batch_size(lane), size=self._settings.batch_bytes)
        try:
            send(_batch(state, lane, copy))
        except StoreUnavailableError as error:
            _log.warning("broker_unavailable", queue=lane.queue, error=str(error))
            state.unsend(self._clock_ms() + _BACKOFF_BASE_MS)
            self._broker_left_until = time.monotonic() + _BACKOFF_BASE_MS / 1000
            return False
        measure.sent(lane, len(copy.entries))
        return True

    def _batch_size(self, lane: Lane) -> int:
        """Deliveries that take about `batch_wall_ms`, or that are called at the same time.

        Fewer would take as long: one by one each delivery takes all of a call, and batches would become smaller still.
        """
        spec = CHANNEL_BY_NAME[lane.channel]
        each_ms = self._finished.ms_per_delivery(lane.queue)
        if each_ms is None:
            return _FIRST_NETWORK_BATCH if spec.calls_network else self._settings.batch_max
        if each_ms <= 0:
            return self._settings.batch_max
        return max(spec.concurrency, min(self._settings.batch_max, int(self._settings.batch_wall_ms / each_ms)))

    def _share(self, lane: Lane) -> float:
        """This dispatcher's part of the lane's partitions."""
        reader = self._readers[lane.priority]
        total = reader.partition_count(lane.topic)
        ours = sum(1 for topic, _ in reader.assigned if topic == lane.topic)
        return ours / total if total else 1.0

    def _clock_ms(self) -> int:
        """The time. Where the clock was set back, by NTP or with a virtual machine, the partitions learn of it."""
        now, before = now_ms(), self._now_ms
        self._now_ms = now
        if now < before:
            _log.warning("clock_set_back", by_ms=before - now)
            self._finished.set_back()
            for state in self._states.values():
                state.set_back(before - now)
        return now

    # partitions and offsets

    def _assigned(self, committed: Mapping[Partition, int]) -> dict[Partition, int]:
        """Start each partition behind what `finished` tells of it."""
        self._tail.read_to_end(self._note, _FINISHED_TIMEOUT_S)
        starts = {}
        for (topic, partition), offset in committed.items():
            policy = self._policy(LANE_BY_TOPIC[topic].priority)
            state = self._states[topic, partition] = PartitionState(topic, partition, policy)
            newest = self._finished.newest(topic, partition)
            if newest is not None:
                self._gate.leave(LANE_BY_TOPIC[topic], partition, newest.not_after_ms)
            starts[topic, partition] = state.resume_from(newest, offset)
        return starts

    def _policy(self, priority: Priority) -> ResendPolicy:
        """Of high alone some go on while SQL is away, past others that wait for it."""
        is_high = priority is Priority.HIGH
        return ResendPolicy(
            resend_after_ms=int(self._settings.resend_after_s * 1000),
            backoff_base_ms=_BACKOFF_BASE_MS,
            backoff_cap_ms=_BACKOFF_CAP_HIGH_MS if is_high else _BACKOFF_CAP_MS,
            most_waiting=self._settings.batch_max // 2 if is_high else 0,
        )

    def _revoked(self, partitions: Sequence[Partition]) -> None:
        """Forget them; claims and `finished` do the rest."""
        for key in partitions:
            self._states.pop(key, None)
            self._gathering_since.pop(key, None)
            self._committed.pop(key, None)

    def _commit(self) -> None:
        if time.monotonic() < self._commit_at:
            return
        self._commit_at = time.monotonic() + _COMMIT_EVERY_S
        changed: dict[Priority, dict[Partition, int]] = {}
        for key, state in self._states.items():
            offset = state.committable
            if offset >= 0 and self._committed.get(key) != offset:
                self._committed[key] = offset
                changed.setdefault(LANE_BY_TOPIC[key[0]].priority, {})[key] = offset
        for priority, reader in self._readers.items():
            reader.commit_soon(changed.get(priority, {}))


def _place(state: PartitionState) -> tuple[Lane, int]:
    return LANE_BY_TOPIC[state.topic], state.partition


def _batch(state: PartitionState, lane: Lane, copy: Copy) -> RawBatch:
    head = BatchHead(
        queue=lane.queue,
        topic=state.topic,
        partition=state.partition,
        first=copy.first,
        last=copy.last,
        sent_at_ms=copy.sent_at_ms,
        not_after_ms=copy.not_after_ms,
        alone=copy.is_alone,
        others_open=copy.others_open,
    )
    return RawBatch(head, [RawItem(entry.offset, msgspec.Raw(entry.value)) for entry in copy.entries])
