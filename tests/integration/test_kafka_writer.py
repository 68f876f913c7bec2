"""RecordWriter: what an ack means, and what is raised where there will be none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.domain.errors import StoreUnavailableError
from app.domain.lane import DEAD_TOPIC
from app.settings import Settings
from infrastructure.kafka import writer as writer_module
from infrastructure.kafka.writer import RecordWriter
from tests.support.kafka_broker import TIMEOUT_S, KafkaBroker

GIVE_UP_S = 0.6


@pytest.fixture
def writer(service: Settings) -> Iterator[RecordWriter]:
    made = RecordWriter(service, timeout_s=TIMEOUT_S)
    yield made
    made.close()


@pytest.fixture
def hasty(service: Settings) -> Iterator[RecordWriter]:
    """Gives records up soon."""
    made = RecordWriter(service, timeout_s=GIVE_UP_S)
    yield made
    made.close(2 * GIVE_UP_S)


def test_an_ack_names_the_place_of_the_record(broker: KafkaBroker, writer: RecordWriter) -> None:
    ack = writer.write(DEAD_TOPIC, "key", b"value", {"reason": b"poison"})
    assert writer.wait([ack], TIMEOUT_S)
    assert ack.is_durable
    [record] = broker.records(DEAD_TOPIC)
    assert (record.partition, record.offset) == (ack.partition, ack.offset)
    assert (record.key, record.value, record.header("reason")) == ("key", b"value", "poison")


def test_records_of_a_key_keep_their_order(broker: KafkaBroker, writer: RecordWriter) -> None:
    acks = [writer.write(DEAD_TOPIC, "one", str(number).encode()) for number in range(500)]
    assert writer.wait(acks, TIMEOUT_S)
    assert all(ack.is_durable for ack in acks)
    assert [int(record.value) for record in broker.records(DEAD_TOPIC)] == list(range(500))


def test_a_record_is_given_up_when_the_broker_is_gone(broker: KafkaBroker, hasty: RecordWriter) -> None:
    broker.stop()
    told: list[bool] = []
    ack = hasty.write(DEAD_TOPIC, "k", b"after", when_done=lambda: told.append(True))
    assert not ack.is_done
    assert hasty.wait([ack], GIVE_UP_S + TIMEOUT_S)
    assert (ack.is_done, ack.is_durable, told) == (True, False, [True])
    assert ack.error


def test_waiting_ends_in_time_though_no_ack_came(broker: KafkaBroker, hasty: RecordWriter) -> None:
    broker.stop()
    ack = hasty.write(DEAD_TOPIC, "k", b"x")
    assert not hasty.wait([ack], 0.1)
    assert not ack.is_durable


def test_a_record_that_is_too_large_is_refused_at_once(writer: RecordWriter) -> None:
    told: list[bool] = []
    with pytest.raises(StoreUnavailableError, match="refused"):
        writer.write(DEAD_TOPIC, "k", bytes(1_100_000), when_done=lambda: told.append(True))
    assert not told, "whoever got an error is not told again"


def test_a_full_queue_of_the_client_is_told(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker
) -> None:
    config = writer_module.producer_config
    monkeypatch.setattr(
        writer_module,
        "producer_config",
        lambda *args, **given: config(*args, **given) | {"queue.buffering.max.messages": 2},
    )
    broker.stop()
    writer = RecordWriter(service, timeout_s=GIVE_UP_S)
    writer.write(DEAD_TOPIC, "k", b"1")
    writer.write(DEAD_TOPIC, "k", b"2")
    with pytest.raises(StoreUnavailableError, match="queue is full"):
        writer.write(DEAD_TOPIC, "k", b"3")
    writer.close(2 * GIVE_UP_S)


class GivenUp:
    """A client that gave up."""

    def produce(self, *_args: object, **_given: object) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL, "out of order", fatal=True))

    def flush(self, timeout_s: float) -> int:
        return 0


def test_a_client_that_gave_up_ends_the_process(monkeypatch: pytest.MonkeyPatch, writer: RecordWriter) -> None:
    writer.check()
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_producer", GivenUp())
        with pytest.raises(SystemExit, match="_FATAL"):
            writer.write(DEAD_TOPIC, "k", b"1")
    with pytest.raises(SystemExit):
        writer.check()


def test_waiting_for_nothing_needs_no_time(writer: RecordWriter) -> None:
    assert writer.wait([], 0.0)
