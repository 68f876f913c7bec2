"""The real dispatcher over the model's stores: its readers, its gate and its way to the broker are doubles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.batch import Finished, RawBatch
from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.lane import FINISHED_TOPIC, Lane, Priority
from app.settings import Settings
from bridges import dispatcher as dispatcher_module
from bridges.dispatch.channel_bound import Traffic
from bridges.dispatcher import Dispatcher
from infrastructure.kafka.records import Record
from tests.support.model_stores import Partition, Queued, Stores

#: How old what the gate says of the queue may be.
_LENGTHS_MS = 100


class Member:
    """A dispatcher process: a member of the group that learns of a rebalance when it reads, if it reads."""

    def __init__(self, stores: Stores, settings: Settings, priority: Priority) -> None:
        self._stores = stores
        self.is_blind = False
        self.tail = _Tail(stores)
        self.reader: _Reader
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dispatcher_module, "RecordWriter", lambda *_, **__: None)
            patch.setattr(dispatcher_module, "Gate", lambda *_: _Gate(stores))
            patch.setattr(dispatcher_module, "TailReader", lambda *_: self.tail)
            patch.setattr(dispatcher_module, "GroupReader", self._make_reader)
            self.dispatcher = Dispatcher(settings, [priority])

    def turn(self) -> None:
        """One turn of the loop; stores that are away are waited for. No two dispatchers send in one millisecond."""
        self._stores.now_ms += 1
        with pytest.MonkeyPatch.context() as patch:
            clock = SimpleNamespace(monotonic=lambda: self._stores.monotonic_ms / 1000)
            patch.setattr(dispatcher_module, "now_ms", lambda: self._stores.now_ms)
            patch.setattr(dispatcher_module, "time", clock)
            patch.setattr(dispatcher_module, "send", self._send)
            try:
                self.dispatcher.turn()
            except StoreUnavailableError:
                return

    def _make_reader(self, *_: Any, on_assigned: Any, on_revoked: Any) -> _Reader:
        self.reader = _Reader(self._stores, self, on_assigned, on_revoked)
        return self.reader

    def _send(self, batch: RawBatch) -> None:
        """Put a copy on the queue, and check that it may be there."""
        stores, head = self._stores, batch.head
        stores.broker.ask()
        place = (head.topic, head.partition)
        for one in stores.queue:
            other = one.batch.head
            is_same = (other.topic, other.partition) == place and other.first <= head.last and head.first <= other.last
            if is_same and one.sender is self and one.is_certain:
                stores.violated(f"{place}: two copies of a batch by one owner on the queue")
        for offset in {item.offset for item in batch.items} & self.reader.finished(place):
            stores.violated(f"{place}: offset {offset} is sent again although it is known as finished")
        stores.queue.append(Queued(batch=batch, sender=self, is_certain=stores.broker.fault == "none"))
        stores.broker.answer()


class _Tail:
    """Reads `finished`."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._read: dict[int, Finished] = {}

    def read(self) -> list[Record]:
        if self._stores.kafka.fault == "refuses":
            return []
        news = [one for one in self._stores.finished if id(one) not in self._read]
        self._read |= {id(one): one for one in news}
        return [Record(FINISHED_TOPIC, 0, 0, one.key, encode(one), {}) for one in news]

    def read_to_end(self, apply: Callable[[Record], None], timeout_s: float) -> None:
        del timeout_s
        for record in self.read():
            apply(record)

    def known(self, place: Partition) -> list[Finished]:
        """What was read about the partition."""
        return [one for one in self._read.values() if (one.topic, one.partition) == place]


class _Reader:
    """A member's place in the group."""

    def __init__(
        self,
        stores: Stores,
        member: Member,
        on_assigned: Callable[[Mapping[Partition, int]], Mapping[Partition, int]],
        on_revoked: Callable[[Sequence[Partition]], None],
    ) -> None:
        self._stores = stores
        self._member = member
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._known_at_start: dict[Partition, int] = {}
        self._not_taken: dict[Partition, int] = {}
        self.assigned: set[Partition] = set()

    def finished(self, place: Partition) -> set[int]:
        """Offsets the member must know as finished: by the newest record at its start, by all that came since."""
        known = self._member.tail.known(place)
        before = known[: self._known_at_start[place]]
        newest = [max(before, key=lambda one: (one.last, one.not_after_ms))] if before else []
        finished: set[int] = set()
        for one in newest + known[self._known_at_start[place] :]:
            finished.update(set(range(one.first, one.last + 1)) - {offset for offset, _ in one.open})
        return finished

    def read(self, limit: int, timeout_s: float) -> list[Record]:
        del timeout_s
        if self._stores.kafka.fault == "refuses":
            return []
        if not self._member.is_blind:
            self._rebalance()
        records = [record for place in sorted(self.assigned - self._paused) for record in self._from(place)][:limit]
        for record in records:
            self._positions[record.topic, record.partition] = record.offset + 1
        return records

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._paused.difference_update(partitions)

    def partition_count(self, topic: str) -> int:
        return sum(1 for one, _ in self._stores.lanes if one == topic)

    def commit_soon(self, offsets: Mapping[Partition, int]) -> None:
        """As the broker takes it: from the owner only; the rest goes with the next. Checks what was passed."""
        self._not_taken |= offsets
        if self._stores.kafka.fault == "refuses":
            return
        wanted, self._not_taken = self._not_taken, {}
        for place, offset in wanted.items():
            if place not in self.assigned:
                continue
            self._check(place, offset)
            if self._stores.group.owners.get(place) is self._member:
                self._stores.group.commits.setdefault(place, []).append(offset)

    def _check(self, place: Partition, offset: int) -> None:
        for passed in range(max(0, self._stores.group.committed(place)), offset):
            if not self._stores.is_settled(self._stores.lanes[place][passed]):
                self._stores.violated(f"{place}: {offset} is committed, and {passed} is neither final nor parked")

    def _rebalance(self) -> None:
        ours = {place for place, owner in self._stores.group.owners.items() if owner is self._member}
        revoked, assigned = self.assigned - ours, ours - self.assigned
        if revoked:
            self.assigned -= revoked
            self._paused -= revoked
            self._on_revoked(sorted(revoked))
        if assigned:
            self.assigned |= assigned
            starts = self._on_assigned({place: self._stores.group.committed(place) for place in sorted(assigned)})
            self._positions.update({place: max(0, start) for place, start in starts.items()})
            self._known_at_start.update({place: len(self._member.tail.known(place)) for place in assigned})

    def _from(self, place: Partition) -> list[Record]:
        start, lane = self._positions[place], self._stores.lanes[place]
        return [Record(*place, offset, "", encode(lane[offset]), {}) for offset in range(start, len(lane))]


class _Gate:
    """Lets everything through; knows the queue's length, as it was up to 100 ms ago."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._asked_at_ms = 0
        self._ask_again_ms = 0
        self._was_empty = False

    def may_send(self, lane: Lane, traffic: Traffic) -> bool:
        del lane, traffic
        return True

    def can_go(self, lane: Lane) -> bool:
        del lane
        return True

    def enter(self, lane: Lane, partition: int, **given: Any) -> bool:
        del lane, partition, given
        return True

    def leave(self, lane: Lane, partition: int, not_after_ms: int) -> None: ...

    def allowance(self, lane: Lane, wanted: int) -> int:
        del lane
        return wanted

    def empty_at_ms(self, queue: str) -> int:
        del queue
        if self._stores.monotonic_ms >= self._ask_again_ms:
            self._ask_again_ms = self._stores.monotonic_ms + _LENGTHS_MS
            self._asked_at_ms = self._stores.now_ms
            self._was_empty = self._stores.broker.fault == "none" and not self._stores.queue
        return self._asked_at_ms if self._was_empty else 0
