"""Port OutcomeLog: outcomes once a key, dead letters cut and marked, finished records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import msgspec
import pytest

from app.domain.batch import Finished
from app.domain.codec import decode
from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.lane import DEAD_TOPIC, FINISHED_TOPIC, OUTCOMES_TOPIC
from app.domain.outcome import Outcome, Reason, Status
from app.settings import Settings
from infrastructure.kafka import guard
from infrastructure.kafka.dead_letters import DEAD_BODY_BYTES
from infrastructure.kafka.outcome_log import KafkaOutcomeLog
from tests.support.deliveries import delivery
from tests.support.kafka_broker import TIMEOUT_S, KafkaBroker

FINISHED = Finished(
    queue="medium.log",
    topic="notifications.medium.log",
    partition=3,
    first=5,
    last=9,
    sent_at_ms=1,
    not_after_ms=2,
    open=[(7, "busy")],
    calls=4,
    took_ms=12.5,
)


@pytest.fixture
def log(service: Settings) -> Iterator[KafkaOutcomeLog]:
    made = KafkaOutcomeLog(service)
    yield made
    made.close()


def outcome(name: str = "d", *, pass_no: int = 0, status: Status = Status.SENT, **given: str) -> Outcome:
    made = delivery(name, pass_no=pass_no).outcome(status=status, reason="", at_ms=1)
    return msgspec.structs.replace(made, **given)


def outcomes(broker: KafkaBroker) -> list[Outcome]:
    return [decode(record.value, Outcome) for record in broker.records(OUTCOMES_TOPIC)]


def test_an_outcome_is_durable_once_acknowledged(broker: KafkaBroker, log: KafkaOutcomeLog) -> None:
    sent = outcome("one")
    log.put(sent)
    assert log.durable([("one", 0), ("never put", 0)], TIMEOUT_S) == {("one", 0)}
    [record] = broker.records(OUTCOMES_TOPIC)
    assert (record.key, decode(record.value, Outcome)) == ("n-one", sent)


def test_an_outcome_is_put_once_a_key(broker: KafkaBroker, log: KafkaOutcomeLog) -> None:
    log.put(outcome("one"))
    log.put(outcome("one", status=Status.FAILED))
    log.put(outcome("one", pass_no=1))
    assert log.durable([("one", 0), ("one", 1)], TIMEOUT_S) == {("one", 0), ("one", 1)}
    assert sorted((one.pass_no, one.status) for one in outcomes(broker)) == [(0, Status.SENT), (1, Status.SENT)]


def test_what_was_asked_for_is_forgotten(broker: KafkaBroker, log: KafkaOutcomeLog) -> None:
    log.put(outcome("one"))
    assert log.durable([("one", 0)], TIMEOUT_S) == {("one", 0)}
    assert log.durable([("one", 0)], TIMEOUT_S) == set()
    log.put(outcome("one"))
    assert log.durable([("one", 0)], TIMEOUT_S) == {("one", 0)}
    assert len(outcomes(broker)) == 2


def test_without_a_broker_nothing_is_durable_and_nothing_is_raised(service: Settings, broker: KafkaBroker) -> None:
    log = KafkaOutcomeLog(dataclasses.replace(service, not_after_high_s=2.0))
    log.put(outcome("one"))
    assert log.durable([("one", 0)], TIMEOUT_S)
    log.put(outcome("two"))
    broker.stop()
    assert log.durable([("two", 0)], 0.1) in (set(), {("two", 0)})  # it may have landed just before
    assert not log.finish(FINISHED, 0.1)
    log.close()


def test_no_room_is_told_before_a_batch_runs(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, log: KafkaOutcomeLog
) -> None:
    assert log.has_room()
    monkeypatch.setattr(guard, "OUTCOMES_BYTES", 100)
    assert not log.has_room()
    with pytest.raises(TopicFullError):
        log.put(outcome("one"))
    assert log.durable([("one", 0)], 0.0) == set()
    monkeypatch.undo()
    log.put(outcome("one"))
    assert log.durable([("one", 0)], TIMEOUT_S) == {("one", 0)}
    assert len(outcomes(broker)) == 1


def test_an_outcome_that_cannot_be_written_is_an_error(log: KafkaOutcomeLog) -> None:
    with pytest.raises(StoreUnavailableError):
        log.put(outcome("one", detail="x" * 1_100_000))
    assert log.durable([("one", 0)], 0.0) == set()


@pytest.mark.parametrize("size", [0, 10, DEAD_BODY_BYTES, DEAD_BODY_BYTES + 1, 900_000])
def test_a_dead_letter_has_its_reason_and_is_cut_where_too_large(
    broker: KafkaBroker, log: KafkaOutcomeLog, size: int
) -> None:
    body = bytes(number % 256 for number in range(size))
    dead = outcome("one", status=Status.FAILED, reason=Reason.POISON, detail="a worker died \N{SKULL}")
    log.dead_letter(dead, body)
    log.close()
    [record] = broker.records(DEAD_TOPIC)
    assert record.value == body[:DEAD_BODY_BYTES]
    assert {name: record.header(name) for name in record.headers} == {
        "reason": "poison",
        "detail": "a worker died \N{SKULL}",
        "notification_id": "n-one",
        "delivery_id": "one",
        "cut": "true" if size > DEAD_BODY_BYTES else "false",
        "topic": "notifications.medium.log",
        "key": dead.user_id,
    }


def test_what_has_a_dead_letter_is_durable_with_it(broker: KafkaBroker, log: KafkaOutcomeLog) -> None:
    dead = outcome("one", status=Status.FAILED, reason=Reason.POISON)
    log.dead_letter(dead, b"body")
    assert log.durable([("one", 0)], TIMEOUT_S) == set(), "a letter alone is no outcome"
    log.dead_letter(dead, b"body")
    log.put(dead)
    assert log.durable([("one", 0)], TIMEOUT_S) == {("one", 0)}
    assert len(broker.records(DEAD_TOPIC)) == 2
    assert len(outcomes(broker)) == 1


def test_a_finished_record_has_the_key_of_its_partition(broker: KafkaBroker, log: KafkaOutcomeLog) -> None:
    assert log.finish(FINISHED, TIMEOUT_S)
    [record] = broker.records(FINISHED_TOPIC)
    assert record.key == "notifications.medium.log:3"
    assert decode(record.value, Finished) == FINISHED
    assert decode(record.value, Finished).first_open == 7
