"""Port EventLog: accepted events on their topics, from several threads, and each error that intake may get."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError

from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.lane import RAW_LOW_TOPIC, RAW_TOPIC
from app.settings import Settings
from infrastructure.kafka.event_log import KafkaEventLog
from tests.support.deliveries import raw_record
from tests.support.kafka_broker import KafkaBroker
from tests.support.soon import soon

THREADS = 8
WAIT_S = 5.0
GIVE_UP_S = 2.0


@pytest.fixture
def log(service: Settings) -> Iterator[KafkaEventLog]:
    made = KafkaEventLog(dataclasses.replace(service, intake_timeout_s=GIVE_UP_S))
    yield made
    made.close()


def test_an_event_is_a_cloud_event_in_binary_mode(broker: KafkaBroker, log: KafkaEventLog) -> None:
    accepted_at_ms = 1_732_270_000_123
    sent = raw_record(user_id="anna", accepted_at_ms=accepted_at_ms)
    assert log.publish([sent], WAIT_S) == [None]
    [record] = broker.records(RAW_TOPIC)
    assert (record.key, record.value) == ("anna", sent.body)
    assert {name: record.header(name) for name in record.headers} == {
        "ce_id": sent.id,
        "ce_source": "/api/v1/notifications",
        "ce_specversion": "1.0",
        "ce_type": sent.event_type,
        "ce_time": "2024-11-22T10:06:40.123+00:00",
        "ce_recordversion": "1",
        "content-type": "application/json",
    }
    assert datetime.fromisoformat(record.header("ce_time")) == datetime.fromtimestamp(accepted_at_ms / 1000, UTC)


def test_who_sent_it_is_an_attribute_of_its_own(broker: KafkaBroker, log: KafkaEventLog) -> None:
    assert log.publish([raw_record(key_id="0123456789ab")], WAIT_S) == [None]
    [record] = broker.records(RAW_TOPIC)
    assert record.header("ce_keyid") == "0123456789ab"


def test_events_of_low_have_their_own_topic(broker: KafkaBroker, log: KafkaEventLog) -> None:
    assert log.publish([raw_record(id="one"), raw_record(id="two", is_low=True)], WAIT_S) == [None, None]
    assert [record.header("ce_id") for record in broker.records(RAW_TOPIC)] == ["one"]
    assert [record.header("ce_id") for record in broker.records(RAW_LOW_TOPIC)] == ["two"]


def test_many_threads_publish_at_a_time(broker: KafkaBroker, log: KafkaEventLog) -> None:
    assert log.publish([raw_record(id="first")], WAIT_S) == [None]
    together = threading.Barrier(THREADS)

    def publish(thread: int) -> list[Exception | None]:
        together.wait()
        return [
            answer
            for call in range(10)
            for answer in log.publish([raw_record(id=f"{thread}-{call}-{number}") for number in range(5)], WAIT_S)
        ]

    started_s = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        answers = [answer for thread in pool.map(publish, range(THREADS)) for answer in thread]
    assert answers == [None] * THREADS * 50
    found = [record.header("ce_id") for record in broker.records(RAW_TOPIC)]
    assert len(found) == len(set(found)) == THREADS * 50 + 1
    assert time.monotonic() - started_s < WAIT_S, "an ack that another thread took was waited for"


def test_nothing_to_publish_is_no_wait(log: KafkaEventLog) -> None:
    assert log.publish([], 0.0) == []


def test_a_broker_that_is_gone_is_unavailable_in_time(broker: KafkaBroker, log: KafkaEventLog) -> None:
    assert log.publish([raw_record()], WAIT_S) == [None]
    broker.stop()
    # The guard asks the broker first, and gives up by itself.
    with soon("the caller"):
        answers = log.publish([raw_record(), raw_record(is_low=True)], 0.3)
    assert [type(answer) for answer in answers] == [StoreUnavailableError] * 2


def test_without_a_guard_an_ack_that_does_not_come_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker
) -> None:
    monkeypatch.setattr("infrastructure.kafka.writer.Guard", lambda _settings: _NoGuard())
    log = KafkaEventLog(dataclasses.replace(service, intake_timeout_s=0.5))
    broker.stop()
    started_s = time.monotonic()
    with soon("the caller"):
        [answer] = log.publish([raw_record()], 0.2)
    assert isinstance(answer, StoreUnavailableError)
    assert time.monotonic() - started_s >= 0.2
    log.close()


def test_a_full_topic_is_told_per_record(broker: KafkaBroker, log: KafkaEventLog) -> None:
    large = raw_record(body=bytes(900_000))
    answers = log.publish([large] * 8 + [raw_record(is_low=True)], WAIT_S)
    kinds = [type(answer) for answer in answers]
    assert kinds[:4] == [type(None)] * 4
    assert kinds[-2:] == [TopicFullError, type(None)], "the other topic has room"
    assert len(broker.records(RAW_TOPIC)) == kinds.count(type(None)) - 1


def test_a_record_too_large_is_told_and_the_others_go_on(broker: KafkaBroker, log: KafkaEventLog) -> None:
    answers = log.publish([raw_record(), raw_record(body=bytes(1_100_000)), raw_record()], WAIT_S)
    assert [type(answer) for answer in answers] == [type(None), StoreUnavailableError, type(None)]
    assert len(broker.records(RAW_TOPIC)) == 2


def test_a_full_queue_of_the_client_is_unavailable(monkeypatch: pytest.MonkeyPatch, log: KafkaEventLog) -> None:
    def full(*_args: object, **_given: object) -> None:
        raise BufferError

    class FullProducer:
        produce = staticmethod(full)
        poll = staticmethod(lambda _timeout_s: 0)

    with monkeypatch.context() as patch:
        patch.setattr(log._writer, "_producer", FullProducer())
        [answer] = log.publish([raw_record()], WAIT_S)
    assert isinstance(answer, StoreUnavailableError)


def test_it_is_ready_while_the_broker_answers(broker: KafkaBroker, log: KafkaEventLog) -> None:
    assert log.is_ready(WAIT_S)
    broker.stop()
    assert not log.is_ready(0.2)


def test_a_client_that_gave_up_ends_the_process_at_the_next_event_or_question(log: KafkaEventLog) -> None:
    """Being asked is enough: who is not ready gets no events that could tell."""
    assert log.is_ready(WAIT_S)
    log._writer._note(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert log.is_ready(WAIT_S), "what passes by itself"
    log._writer._note(KafkaError(KafkaError._FATAL, "out of order", fatal=True))
    with pytest.raises(SystemExit, match="_FATAL"):
        log.is_ready(WAIT_S)


class _NoGuard:
    def admit(self, topic: str, size: int) -> None:
        pass

    def landed(self, topic: str, size: int, partition: int, offset: int) -> None:
        pass

    def given_up(self, topic: str, size: int) -> None:
        pass
