"""LagReader: what a group has not committed of its topics, and how old the oldest of it is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from app.domain.errors import StoreUnavailableError
from app.domain.lane import DEAD_TOPIC, OUTCOMES_TOPIC, RAW_TOPIC
from app.settings import Settings
from infrastructure.kafka.groups import ROUTER_GROUP
from infrastructure.kafka.lag import Lag, LagReader
from tests.support.kafka_broker import KafkaBroker


@pytest.fixture
def lag(service: Settings) -> Iterator[LagReader]:
    reader = LagReader(service, [RAW_TOPIC, OUTCOMES_TOPIC, DEAD_TOPIC])
    yield reader
    reader.close()


def test_nothing_waits_in_empty_topics_and_what_nobody_must_read_is_left_out(
    broker: KafkaBroker, lag: LagReader
) -> None:
    broker.put(DEAD_TOPIC, b"x")
    broker.flush()
    assert lag.read() == {RAW_TOPIC: Lag(), OUTCOMES_TOPIC: Lag()}


def test_records_behind_the_commits_wait_and_the_oldest_of_all_partitions_tells_the_age(
    broker: KafkaBroker, lag: LagReader
) -> None:
    for partition in (0, 1):
        broker.put(RAW_TOPIC, b"old", partition=partition)
    broker.flush()
    time.sleep(0.4)
    new_at_s = time.monotonic()
    broker.put(RAW_TOPIC, b"new", partition=1)
    broker.flush()
    found = lag.read()[RAW_TOPIC]
    assert found.records == 3
    assert 0.4 <= found.oldest_s < 5
    broker.commit(ROUTER_GROUP, RAW_TOPIC, {0: 1, 1: 1})
    found = lag.read()[RAW_TOPIC]
    assert found.records == 1
    assert 0 < found.oldest_s < time.monotonic() - new_at_s + 0.1  # the old ones are older than that
    broker.commit(ROUTER_GROUP, RAW_TOPIC, {1: 2})
    assert lag.read()[RAW_TOPIC] == Lag()


def test_a_broker_that_is_away_is_told(service: Settings, broker: KafkaBroker) -> None:
    broker.stop()
    reader = LagReader(service, [RAW_TOPIC])
    with pytest.raises(StoreUnavailableError):
        reader.read()
    reader.close()
