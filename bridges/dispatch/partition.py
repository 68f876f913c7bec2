"""One partition of a lane topic: the batch that is out, what is buffered behind it, and what may be committed.

Pure: no clock, no I/O. The rules are those of docs/architecture.md, "Dispatcher"; `tests/unit/test_dispatch_model.py`
runs them against random crashes, flushes and stalls. Change a rule only together with the model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from app.domain.batch import Finished
from app.domain.outcome import OpenReason

#: How often a batch may vanish before it goes in parts.
_LOSSES_BEFORE_PARTS = 2
_PARTS = 10
_ALL = 2**62


class Entry(Struct, frozen=True):
    """A lane record: its offset and bytes."""

    offset: int
    value: bytes


class ResendPolicy(Struct, frozen=True, kw_only=True):
    """Times of sending again, in milliseconds. `backoff_cap_ms` bounds the wait of what came back open.

    `most_waiting`: how many deliveries that only wait for SQL do not hold up those behind them.
    """

    resend_after_ms: int
    backoff_base_ms: int
    backoff_cap_ms: int
    most_waiting: int = 0


class Copy(Struct, kw_only=True):
    """One copy of (a part of) the batch, as it is to be put on the queue.

    `overdue_at_ms` is when it should have reported, by the clock as it goes now.
    """

    first: int
    last: int
    entries: list[Entry]
    others_open: list[int]
    sent_at_ms: int = 0
    not_after_ms: int = 0
    overdue_at_ms: int = 0

    @property
    def is_alone(self) -> bool:
        """Whether it carries one delivery only."""
        return len(self.entries) == 1


class _Out(Struct, kw_only=True):
    """The batch that is out: what of it is open, and the copy under way.

    `waiting` are those that came back because SQL was away, `joined` those that have joined the batch since; with
    `has_tried` the copy has some of the waiting ones.
    """

    first: int
    last: int
    pending: dict[int, Entry]
    copy: Copy | None = None
    parts: deque[list[int]]
    waiting: set[int] = set()
    joined: list[int] = []
    has_tried: bool = False
    losses: int = 0
    returns: int = 0
    again_at_ms: int = 0


class PartitionState:
    """State of one partition. At most one copy is out at a time."""

    def __init__(self, topic: str, partition: int, policy: ResendPolicy) -> None:
        self.topic = topic
        self.partition = partition
        self._policy = policy
        self._buffer: deque[Entry] = deque()
        self._buffered_bytes = 0
        self._position = -1
        self._out: _Out | None = None
        self._finished_ahead: set[int] = set()
        self._last_not_after_ms = 0

    # what comes in

    def resume_from(self, newest: Finished | None, committed: int) -> int:
        """Start behind what an earlier owner finished; the offset to read from (-1: no news, the group's default)."""
        start = committed
        if newest is not None:
            start = max(committed, newest.first_open)
        self._position = start
        if newest is not None:
            self._last_not_after_ms = newest.not_after_ms
            self._drop_finished(newest, dict(newest.open))
        return start

    def feed(self, entries: Iterable[Entry]) -> None:
        """Buffer records in order of offset; what is known as finished, or was read before, is left out."""
        for entry in entries:
            if entry.offset < self._position:
                continue
            self._position = entry.offset + 1
            if entry.offset not in self._finished_ahead:
                self._buffer.append(entry)
                self._buffered_bytes += len(entry.value)
        if self._finished_ahead:
            self._finished_ahead = {offset for offset in self._finished_ahead if offset >= self._position}

    def has_buffered(self, *, count: int, size: int) -> bool:
        """Whether the next batch of that many deliveries or bytes is there."""
        return len(self._buffer) >= count or self._buffered_bytes >= size

    @property
    def buffered(self) -> int:
        """How many deliveries wait behind the batch that is out."""
        return len(self._buffer)

    # what goes out

    @property
    def is_idle(self) -> bool:
        """Whether no batch is out."""
        return self._out is None

    @property
    def copy(self) -> Copy | None:
        """The copy that is out."""
        return self._out.copy if self._out else None

    @property
    def pending(self) -> int:
        """Deliveries of the batch that are not finished."""
        return len(self._out.pending) if self._out else 0

    def next_size(self, *, count: int, size: int) -> int:
        """How many deliveries the next batch would have."""
        taken = total = 0
        for entry in self._buffer:
            total += len(entry.value)
            if taken >= count or (taken and total > size):
                break
            taken += 1
        return taken

    def cut(self, count: int) -> None:
        """Make the next `count` buffered deliveries the batch. Only where the partition is idle."""
        if self._out is not None or not 0 < count <= len(self._buffer):
            raise ValueError("a partition has one batch out at a time, of what is buffered")
        taken = self._take(count)
        pending = {entry.offset: entry for entry in taken}
        self._out = _Out(first=taken[0].offset, last=taken[-1].offset, pending=pending, parts=deque())

    @property
    def may_join(self) -> bool:
        """Whether more may join the batch, of which nothing is left but some that wait for SQL.

        They wait for long, and those behind them need not (high goes by what is known). Where a copy was lost or a
        step failed, nothing joins: the batch has to be told apart into parts first.
        """
        out = self._out
        return (
            out is not None
            and out.copy is None
            and not out.losses
            and not out.joined
            and len(out.pending) <= self._policy.most_waiting
            and out.waiting.issuperset(out.pending)
        )

    def join(self, count: int) -> None:
        """Make the next `count` buffered deliveries part of the batch, to be sent at once. Only where it `may_join`."""
        out = self._out
        if out is None or not self.may_join or not 0 < count <= len(self._buffer):
            raise ValueError("only what is buffered may join, and only a batch that waits for SQL")
        taken = self._take(count)
        out.joined = [entry.offset for entry in taken]
        out.pending |= {entry.offset: entry for entry in taken}
        out.last = taken[-1].offset

    def is_due(self, now_ms: int) -> bool:
        """Whether a copy of the batch is to be sent (again)."""
        out = self._out
        return out is not None and out.copy is None and (now_ms >= out.again_at_ms or bool(out.joined))

    def send(self, now_ms: int, not_after_ms: int, *, count: int = _ALL, size: int = _ALL) -> Copy:
        """Take the copy that is due; it is out from now on.

        Those that waited for SQL go in portions of `count` deliveries or `size` bytes.
        """
        out = self._out
        if out is None or out.copy is not None:
            raise ValueError("nothing is to be sent")
        offsets = self._next_part(out, now_ms, count, size)
        out.joined = []
        self._last_not_after_ms = self._in_order(not_after_ms, life_ms=not_after_ms - now_ms)
        others = sorted(set(out.pending) - set(offsets))
        out.copy = Copy(
            first=out.first,
            last=out.last,
            entries=[out.pending[offset] for offset in offsets],
            others_open=others,
            sent_at_ms=now_ms,
            not_after_ms=self._last_not_after_ms,
            overdue_at_ms=self._last_not_after_ms + self._policy.resend_after_ms,
        )
        return out.copy

    def unsend(self, again_at_ms: int) -> None:
        """The copy could not be put on the queue."""
        if self._out is not None and self._out.copy is not None:
            self._out.copy = None
            self._out.again_at_ms = again_at_ms

    def apply(self, record: Finished, now_ms: int, jitter: Callable[[], float]) -> bool:
        """Take over what a copy reports, whoever sent it; whether it is the copy that is out."""
        reasons = dict(record.open)
        self._drop_finished(record, reasons)
        out = self._out
        if out is None or record.last < out.first or record.first > out.last:
            return False
        out.pending = {
            offset: entry
            for offset, entry in out.pending.items()
            if offset in reasons or not record.first <= offset <= record.last
        }
        is_current = out.copy is not None and _is_of(out, out.copy, record)
        if not out.pending:
            self._out = None
        elif is_current:
            self._came_back(out, reasons, now_ms, jitter)
        return is_current

    def is_overdue(self, now_ms: int) -> bool:
        """Whether the copy that is out should have reported by now."""
        copy = self.copy
        return copy is not None and now_ms > copy.overdue_at_ms

    def set_back(self, by_ms: int) -> None:
        """The clock was set back: what waits for a time waits no longer for it."""
        if self._out is None:
            return
        self._out.again_at_ms -= by_ms
        if self._out.copy is not None:
            self._out.copy.sent_at_ms -= by_ms
            self._out.copy.overdue_at_ms -= by_ms

    def lose(self, now_ms: int) -> None:
        """The copy is gone: overdue, and its queue has moved on or is empty."""
        if self._out is not None and self._out.copy is not None:
            self._out.copy = None
            self._out.losses += 1
            self._out.again_at_ms = now_ms

    # what may be committed

    @property
    def committable(self) -> int:
        """The next offset to read if this process died now (-1: unknown)."""
        if self._out is not None:
            return min(self._out.pending)
        return self._buffer[0].offset if self._buffer else self._position

    def _drop_finished(self, record: Finished, reasons: Mapping[int, str]) -> None:
        """An earlier owner's batch may reach into what is buffered here, and into what is not read yet."""
        if self._buffer and self._buffer[0].offset <= record.last:
            self._buffer = deque(
                entry
                for entry in self._buffer
                if entry.offset in reasons or not record.first <= entry.offset <= record.last
            )
            self._buffered_bytes = sum(len(entry.value) for entry in self._buffer)
        ahead = range(max(record.first, self._position), record.last + 1)
        self._finished_ahead.update(offset for offset in ahead if offset not in reasons)

    def _in_order(self, not_after_ms: int, *, life_ms: int) -> int:
        """Later than the last one's: it tells the partition's copies apart, and which record of a batch is the newest.

        Where that would more than double the copy's life, a clock was far ahead and is right again: then order counts
        for less (claims know what is done) than deliveries held for as long by each worker that dies.
        """
        least_ms = self._last_not_after_ms + 1
        return not_after_ms if least_ms > not_after_ms + life_ms else max(not_after_ms, least_ms)

    def _take(self, count: int) -> list[Entry]:
        taken = [self._buffer.popleft() for _ in range(count)]
        self._buffered_bytes -= sum(len(entry.value) for entry in taken)
        return taken

    def _next_part(self, out: _Out, now_ms: int, count: int, size: int) -> list[int]:
        joined = [offset for offset in out.joined if offset in out.pending]
        out.has_tried = not joined or now_ms >= out.again_at_ms
        if joined:
            # Of those that wait some go with them, if it is time: not more than there is room for.
            if not out.has_tried:
                return joined
            count -= len(joined)
            size -= sum(len(out.pending[offset].value) for offset in joined)
        if out.waiting and not out.losses:
            others = sorted(set(out.pending).difference(joined))
            return sorted([*joined, *_portion(out.pending, others, count, size, at_least=0 if joined else 1)])
        while out.parts:
            part = [offset for offset in out.parts.popleft() if offset in out.pending]
            if part:
                return part
        offsets = sorted(out.pending)
        if out.losses < _LOSSES_BEFORE_PARTS:
            return offsets
        size = max(1, -(-len(offsets) // _PARTS))
        out.parts.extend(offsets[start : start + size] for start in range(size, len(offsets), size))
        return offsets[:size]

    def _came_back(self, out: _Out, reasons: Mapping[int, str], now_ms: int, jitter: Callable[[], float]) -> None:
        copy, out.copy = out.copy, None
        if OpenReason.STEP_FAILED in reasons.values():
            out.losses += 1
        stayed = out.waiting.intersection(copy.others_open if copy else (), out.pending)
        came = {offset for offset, reason in reasons.items() if reason == OpenReason.SQL_DOWN}
        out.waiting = stayed | came.intersection(out.pending)
        if any(offset in out.pending for part in out.parts for offset in part):
            out.again_at_ms = now_ms
            return
        if stayed and not out.losses:
            if not out.has_tried:
                return  # their wait goes on, and no news of others makes it longer
            if not came:
                out.again_at_ms = now_ms  # SQL is back: the next portion
                return
        if copy is not None and not copy.others_open and not out.parts and out.waiting.issuperset(out.pending):
            out.losses = 0  # it came back whole: nobody died of it
        policy = self._policy
        wait_ms = min(policy.backoff_cap_ms, policy.backoff_base_ms << min(out.returns, 10))
        out.returns += 1
        out.again_at_ms = now_ms + max(policy.backoff_base_ms, int(wait_ms * (1 + jitter()) / 2))


def _is_of(out: _Out, copy: Copy, record: Finished) -> bool:
    return (record.first, record.last, record.not_after_ms) == (out.first, out.last, copy.not_after_ms)


def _portion(
    pending: Mapping[int, Entry], offsets: Sequence[int], count: int, size: int, *, at_least: int
) -> list[int]:
    """The first of these, up to that many and that many bytes."""
    taken: list[int] = []
    for offset in offsets:
        size -= len(pending[offset].value)
        if len(taken) >= at_least and (len(taken) >= count or size < 0):
            break
        taken.append(offset)
    return taken
