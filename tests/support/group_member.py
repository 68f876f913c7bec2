"""A member of a group as a process: does with records what the router, or dispatcher and workers, do, without stores.

`python -m tests.support.group_member KIND JOURNAL GROUP TOPIC FINISHED`; settings come from the environment. Everything
that happens is a line of the journal, with the Unix time in ms:

- `did PARTITION OFFSET TIME`: a record was worked on
- `kept PARTITION OFFSET TIME`: and Kafka has acknowledged that it is done
"""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from app.domain.batch import Finished
from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.errors import StoreUnavailableError
from app.settings import settings
from bridges.dispatch.finished import FinishedView
from bridges.dispatch.partition import Entry, PartitionState, ResendPolicy
from infrastructure.kafka.reader import GroupReader, Partition, TailReader
from infrastructure.kafka.records import Record
from infrastructure.kafka.writer import RecordWriter

_log = structlog.get_logger()

READ = 20
TICK_S = 0.02
PAUSE_S = 0.2
ACK_S = 20.0
POLICY = ResendPolicy(resend_after_ms=60_000, backoff_base_ms=1000, backoff_cap_ms=1000)


class Journal:
    """Lines that are on disk when `write` returns, also for whoever kills this process next."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, word: str, partition: int, offset: int) -> None:
        self._file.write(f"{word} {partition} {offset} {now_ms()}\n".encode())


class RouterLike:
    """Reads, works, waits for the commit; what is not ours any more when it could not is left."""

    def __init__(self, journal: Journal, group: str, topic: str, _finished: str) -> None:
        self._journal = journal
        self._reader = GroupReader(settings(), group, [topic])

    def turn(self) -> None:
        records = self._reader.read(READ, TICK_S)
        self._reader.commit({})
        offsets: dict[Partition, int] = {}
        for record in records:
            self._journal.write("did", record.partition, record.offset)
            offsets[record.topic, record.partition] = record.offset + 1
        self._reader.commit(offsets)
        for record in records:
            self._journal.write("kept", record.partition, record.offset)

    def close(self) -> None:
        self._reader.close()


class DispatcherLike:
    """One batch out for each partition; `finished` tells of it, and the commit follows without being waited for."""

    def __init__(self, journal: Journal, group: str, topic: str, finished: str) -> None:
        self._journal = journal
        self._finished = finished
        self._view = FinishedView()
        self._tail = TailReader(settings(), finished)
        self._writer = RecordWriter(settings(), timeout_s=ACK_S)
        self._states: dict[Partition, PartitionState] = {}
        self._reader = GroupReader(settings(), group, [topic], on_assigned=self._assigned, on_revoked=self._revoked)

    def turn(self) -> None:
        for record in self._tail.read():
            self._note(record)
        for record in self._reader.read(READ, TICK_S):
            state = self._states[record.topic, record.partition]
            state.feed([Entry(record.offset, record.value)])
        for state in self._states.values():
            if state.is_idle and state.buffered:
                self._work(state)
        self._reader.commit_soon(
            {key: state.committable for key, state in self._states.items() if state.committable >= 0}
        )

    def close(self) -> None:
        self._reader.close()
        self._tail.close()
        self._writer.close()

    def _work(self, state: PartitionState) -> None:
        """What workers do with a copy, at once."""
        state.cut(min(state.buffered, READ))
        copy = state.send(now_ms(), now_ms() + 60_000)
        for entry in copy.entries:
            self._journal.write("did", state.partition, entry.offset)
        done = Finished(
            queue="high.log",
            topic=state.topic,
            partition=state.partition,
            first=copy.first,
            last=copy.last,
            sent_at_ms=copy.sent_at_ms,
            not_after_ms=copy.not_after_ms,
        )
        ack = self._writer.write(self._finished, done.key, encode(done))
        self._writer.wait([ack], ACK_S)
        if not ack.is_durable:
            raise RuntimeError("the finished record was not acknowledged")
        for entry in copy.entries:
            self._journal.write("kept", state.partition, entry.offset)

    def _note(self, record: Record) -> None:
        finished = decode(record.value, Finished)
        self._view.apply(finished, now_ms())
        state = self._states.get((finished.topic, finished.partition))
        if state is not None:
            state.apply(finished, now_ms(), random.random)

    def _assigned(self, committed: Mapping[Partition, int]) -> dict[Partition, int]:
        self._tail.read_to_end(self._note, ACK_S)
        starts = {}
        for (topic, partition), offset in committed.items():
            state = self._states[topic, partition] = PartitionState(topic, partition, POLICY)
            starts[topic, partition] = state.resume_from(self._view.newest(topic, partition), offset)
        return starts

    def _revoked(self, partitions: Sequence[Partition]) -> None:
        for key in partitions:
            del self._states[key]


KINDS = {"router": RouterLike, "dispatcher": DispatcherLike}


def main(kind: str, journal: str, group: str, topic: str, finished: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    member = KINDS[kind](Journal(Path(journal)), group, topic, finished)
    while not stop.is_set():
        try:
            member.turn()
        except StoreUnavailableError as error:
            _log.warning("member_waits", error=str(error))
            stop.wait(PAUSE_S)
    member.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
