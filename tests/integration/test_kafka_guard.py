"""The guard of the embedded broker: nothing is written that could push unread records out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.lane import DEAD_TOPIC, FINISHED_TOPIC, OUTCOMES_TOPIC, RAW_TOPIC
from app.settings import Settings
from infrastructure.kafka import guard
from infrastructure.kafka.groups import ROUTER_GROUP
from infrastructure.kafka.writer import Ack, RecordWriter
from tests.support.kafka_broker import KafkaBroker, eventually

MOST = 200_000
WAIT_S = 20.0
MIB = 1024 * 1024


@pytest.fixture
def writer(service: Settings) -> Iterator[RecordWriter]:
    made = RecordWriter(service, timeout_s=WAIT_S)
    yield made
    made.close()


def fill(writer: RecordWriter, topic: str, sizes: Iterator[int], *, key: str = "") -> int:
    """Write until there is no room by fresh news; how many were taken, all of them acknowledged."""
    taken = 0
    while True:
        acks = list(write_until_refused(writer, topic, sizes, key))
        assert writer.wait(acks, WAIT_S)
        assert all(ack.is_durable for ack in acks)
        taken += len(acks)
        time.sleep(guard._REFRESH_S * 1.1)
        if not writer.has_room(topic):
            return taken


def write_until_refused(writer: RecordWriter, topic: str, sizes: Iterator[int], key: str) -> Iterator[Ack]:
    for number in range(MOST):
        try:
            # random bytes, so that compression cannot hide what is kept
            yield writer.write(topic, key or f"user-{number}", os.urandom(next(sizes)))
        except TopicFullError:
            return
    pytest.fail("it is never full")


def one_size(size: int) -> Iterator[int]:
    while True:
        yield size


def large_then_small() -> Iterator[int]:
    yield from [200_000] * 14
    yield from [100] * 700
    yield from one_size(200_000)


@pytest.mark.parametrize(
    ("sizes", "least"),
    [
        pytest.param(one_size(400), 6000, id="small"),
        pytest.param(one_size(2000), 1750, id="usual"),
        pytest.param(one_size(250_000), 15, id="as large as events may be"),
        pytest.param(large_then_small(), 700, id="large ones hidden behind many small"),
    ],
)
def test_nothing_is_dropped_when_one_partition_fills_up(
    broker: KafkaBroker, writer: RecordWriter, sizes: Iterator[int], least: int
) -> None:
    taken = fill(writer, RAW_TOPIC, sizes, key="one user")
    assert broker.kept(RAW_TOPIC) == taken
    assert taken >= least, "it would refuse long before it has to"


def test_a_refusal_names_the_topic_and_when_to_come_again(writer: RecordWriter) -> None:
    fill(writer, RAW_TOPIC, one_size(100_000), key="one user")
    with pytest.raises(TopicFullError) as refused:
        writer.write(RAW_TOPIC, "one user", bytes(600_000))
    assert refused.value.topic == RAW_TOPIC
    assert refused.value.retry_after_s > 0


def test_what_is_read_back_is_all_that_was_acknowledged(broker: KafkaBroker, writer: RecordWriter) -> None:
    taken = fill(writer, RAW_TOPIC, one_size(2000))
    assert len(broker.records(RAW_TOPIC)) == taken
    assert taken * 2000 > 12 * MIB, "four partitions have more room than this"


def test_it_admits_again_once_the_group_has_committed(broker: KafkaBroker, writer: RecordWriter) -> None:
    fill(writer, RAW_TOPIC, one_size(4000), key="one user")
    assert not writer.has_room(RAW_TOPIC)
    broker.commit(
        ROUTER_GROUP, RAW_TOPIC, {record.partition: record.offset + 1 for record in broker.records(RAW_TOPIC)}
    )
    eventually(lambda: writer.has_room(RAW_TOPIC), "room again", 1.0)
    assert writer.wait([writer.write(RAW_TOPIC, "one user", b"x")], WAIT_S)


def test_another_topic_has_its_own_room(writer: RecordWriter) -> None:
    fill(writer, RAW_TOPIC, one_size(100_000), key="one user")
    assert writer.wait([writer.write(OUTCOMES_TOPIC, "one user", b"x")], WAIT_S)


def test_outcomes_leave_half_for_those_of_other_processes(broker: KafkaBroker, writer: RecordWriter) -> None:
    taken = fill(writer, OUTCOMES_TOPIC, one_size(2000), key="one user")
    assert 1.5 * MIB < taken * 2000 < 2 * MIB
    assert broker.kept(OUTCOMES_TOPIC) == taken


@pytest.mark.parametrize("topic", [FINISHED_TOPIC, DEAD_TOPIC])
def test_topics_that_nobody_has_to_read_to_the_end_are_not_bounded(writer: RecordWriter, topic: str) -> None:
    acks = [writer.write(topic, "one key", bytes(100_000)) for _ in range(80)]
    assert writer.wait(acks, WAIT_S)
    assert writer.has_room(topic)


def test_a_second_writer_sees_what_the_first_has_written(service: Settings, writer: RecordWriter) -> None:
    fill(writer, RAW_TOPIC, one_size(1500), key="one user")
    other = RecordWriter(service, timeout_s=WAIT_S)
    assert not other.has_room(RAW_TOPIC)
    with pytest.raises(TopicFullError):
        other.write(RAW_TOPIC, "one user", bytes(1500))
    other.close()


def test_a_broker_that_is_gone_is_no_room(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker
) -> None:
    monkeypatch.setattr(guard, "_CALL_TIMEOUT_S", 0.1)
    writer = RecordWriter(service, timeout_s=WAIT_S)
    broker.stop()
    assert not writer.has_room(RAW_TOPIC)
    with pytest.raises(StoreUnavailableError):
        writer.write(RAW_TOPIC, "k", b"x")
