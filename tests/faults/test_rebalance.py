"""Members that come, go, stall and are killed while records flow: each record is worked on, and seldom twice.

On the real Kafka, with processes of their own and both protocols. A record may be worked on again only where one who
did it was killed before Kafka had acknowledged that it was done, or was stopped for so long that others took over: it
cannot know before it asks.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from app.domain.clock import now_ms
from app.domain.lane import FINISHED_TOPIC, RAW_TOPIC
from app.domain.topics import planned_topics
from app.settings import Settings, child_environ
from infrastructure.kafka.topics import Topics
from infrastructure.kafka.writer import Ack, RecordWriter
from tests.support.kafka_broker import RealKafka, eventually
from tests.support.services import RealServices

ROOT = Path(__file__).parents[2]
PARTITIONS = 6
#: While members come and go, records are written for this long after each change.
FLOW_S = 1.0
#: Longer than a session, which is 8 s.
STALL_S = 10.0
#: What a member that was stalled does of what it had in hand, ms.
AROUND_MS = 3000
CHUNK = 30
WITHIN_S = 60.0
#: Word, (partition, offset), Unix ms.
Line = tuple[str, tuple[int, int], int]


class Group:
    """Members of one group, what was written for them, and what they did."""

    def __init__(self, settings: Settings, folder: Path, kind: str) -> None:
        mark = uuid.uuid4().hex[:8]
        self._settings = settings
        self._folder, self._output = folder / "journals", folder / "output"
        for made in (self._folder, self._output):
            made.mkdir()
        self._kind = kind
        self._group = f"test-{mark}"
        wanted = [one for one in planned_topics(PARTITIONS, 3, 1e6) if one.name in {RAW_TOPIC, FINISHED_TOPIC}]
        plans = [msgspec.structs.replace(one, name=f"test-{mark}-{one.name}") for one in wanted]
        self._topic, self._finished = (plan.name for plan in plans)
        self._topics = Topics(settings)
        self._topics.make(plans)
        self._writer = RecordWriter(settings, timeout_s=30)
        self._written: list[Ack] = []
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._killed: set[str] = set()
        self._stalled: dict[str, tuple[int, int]] = {}

    def add(self, name: str) -> None:
        """A member, which has its share as soon as it has journalled something."""
        argv = [sys.executable, "-m", "tests.support.group_member", self._kind, str(self._folder / name)]
        argv += [self._group, self._topic, self._finished]
        with (self._output / name).open("wb") as output:
            self._running[name] = subprocess.Popen(
                argv, cwd=ROOT, env=child_environ(self._settings), stdout=output, stderr=output
            )

    def stop(self, name: str) -> None:
        process = self._running.pop(name)
        process.terminate()
        assert process.wait(WITHIN_S) == 0

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait()
        self._killed.add(name)

    def stall(self, name: str, seconds: float) -> None:
        """Stop the process for so long, while records flow, and let it go on."""
        process, since_ms = self._running[name], now_ms()
        process.send_signal(signal.SIGSTOP)
        self.flow(seconds)
        process.send_signal(signal.SIGCONT)
        self._stalled[name] = (since_ms, now_ms() + AROUND_MS)

    def flow(self, seconds: float = FLOW_S) -> None:
        """Write records for a while, at least some."""
        until = time.monotonic() + seconds
        while True:
            acks = [self._writer.write(self._topic, f"k{number % 50}", b"x") for number in range(CHUNK)]
            assert self._writer.wait(acks, 30)
            assert all(ack.is_durable for ack in acks)
            self._written += acks
            if time.monotonic() > until:
                return
            time.sleep(0.1)

    def works(self, name: str) -> None:
        """Wait until the member has worked on something."""
        journal = self._folder / name

        def look() -> bool:
            assert self._running[name].poll() is None, self._told(name)
            self.flow(0.1)
            return journal.exists() and journal.stat().st_size > 0

        try:
            eventually(look, f"{name} works", WITHIN_S)
        except AssertionError as error:
            pytest.fail(f"{error}\n{self._told(name)}\n{self._told('first')}")

    def settle(self) -> None:
        """Wait until every record was worked on."""
        try:
            eventually(lambda: not self._missing(), "all records are worked on", WITHIN_S)
        except AssertionError:
            codes = {name: process.poll() for name, process in self._running.items()}
            missing = sorted(self._missing())
            pytest.fail(f"{len(missing)} records are missing, as {missing[:3]}; members ended with {codes}")

    def repetitions(self) -> dict[tuple[int, int], list[str]]:
        """Records that were worked on more often than is explained, and by whom."""
        by_record: dict[tuple[int, int], list[str]] = defaultdict(list)
        for name in self._names():
            lines = list(self._journal(name))
            kept = {place for word, place, _ in lines if word == "kept"}
            in_hand_ms, until_ms = self._in_hand(name, lines)
            for word, place, at_ms in lines:
                is_open = name in self._killed and place not in kept
                if word == "did" and not is_open and not in_hand_ms <= at_ms <= until_ms:
                    by_record[place].append(name)
        return {place: names for place, names in by_record.items() if len(names) > 1}

    def _in_hand(self, name: str, lines: Sequence[Line]) -> tuple[int, int]:
        """When it did what it had in hand as it was stalled: from its last news that something is kept on."""
        since_ms, until_ms = self._stalled.get(name, (0, -1))
        return max((at_ms for word, _, at_ms in lines if word == "kept" and at_ms < since_ms), default=0), until_ms

    @property
    def written(self) -> int:
        return len(self._written)

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
        self._writer.close()
        self._topics.remove([self._topic, self._finished])

    def _told(self, name: str) -> str:
        """The last that the member said."""
        return f"{name}: " + (self._output / name).read_text()[-2000:]

    def _missing(self) -> set[tuple[int, int]]:
        did = {place for name in self._names() for word, place, _ in self._journal(name) if word == "did"}
        return {(ack.partition, ack.offset) for ack in self._written} - did

    def _names(self) -> list[str]:
        return [path.name for path in self._folder.iterdir()]

    def _journal(self, name: str) -> Iterator[Line]:
        """All of it; a last line that a kill cut off is left out."""
        for line in (self._folder / name).read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                word, partition, offset, at_ms = line.split()
                yield word, (int(partition), int(offset)), int(at_ms)


@pytest.fixture(params=["consumer, router", "classic, router", "consumer, dispatcher"])
def group(services: RealServices, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Group]:
    """By the protocol, and what members do."""
    protocol, kind = request.param.split(", ")
    environ = {
        **RealKafka.environ,
        "NOTIFY_KAFKA_BOOTSTRAP": services.kafka,
        "NOTIFY_KAFKA_GROUP_PROTOCOL": protocol,
    }
    made = Group(Settings.load(environ), tmp_path, kind)
    yield made
    made.close()


def test_members_that_come_and_go_lose_nothing_and_repeat_nothing_but_what_a_kill_left_open(group: Group) -> None:
    group.add("first")
    group.works("first")
    group.add("second")
    group.add("third")
    group.works("second")
    group.works("third")
    group.flow()
    group.stop("second")  # in the middle of what flows
    group.flow()
    group.kill("third")
    group.flow()
    group.add("fourth")
    group.works("fourth")
    group.stall("first", STALL_S)
    group.flow()
    group.settle()
    assert group.written > 500
    assert group.repetitions() == {}
