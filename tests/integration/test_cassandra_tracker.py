"""The tracker with its history on Cassandra, and forgetting by the way all commands take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.outcome import Status
from app.settings import Settings
from bridges.tracker import Tracker
from infrastructure import wiring
from infrastructure.kafka.groups import TRACKER_GROUP
from infrastructure.sql.engine import shared_engine
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually
from tests.support.tcp_proxy import TcpProxy

pytest.importorskip("cassandra", reason="needs requirements-real.txt")

from infrastructure.cassandra import client as of_cassandra
from tests.support.cassandra_stores import address

TIMEOUT_S = 2.0


@pytest.fixture
def settings(service: Settings, cassandra_proxy: TcpProxy, cassandra_keyspace: str) -> Iterator[Settings]:
    url = address(f"127.0.0.1:{cassandra_proxy.port}", cassandra_keyspace)
    yield dataclasses.replace(service, history_url=url, store_timeout_s=TIMEOUT_S)
    of_cassandra.shared_client(url, TIMEOUT_S).close()
    del of_cassandra._clients[url, TIMEOUT_S]
    shared_engine(service.database_url, TIMEOUT_S).dispose()


@pytest.fixture
def tracker(settings: Settings) -> Iterator[Tracker]:
    made = Tracker(settings)
    yield made
    made.close()


def put(broker: KafkaBroker, *names: str) -> None:
    for name in names:
        outcome = delivery(name, user_id="carla").outcome(status=Status.SENT, reason="", at_ms=1)
        broker.put(OUTCOMES_TOPIC, encode(outcome), key=name)
    broker.flush()


def turn_until_committed(tracker: Tracker, broker: KafkaBroker) -> None:
    def is_committed() -> bool:
        try:
            tracker.turn()
        except StoreUnavailableError:
            return False
        return sum(broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC).values()) == broker.written(OUTCOMES_TOPIC)

    eventually(is_committed, "all outcomes are committed")


def test_a_history_that_goes_away_means_lag_and_no_loss_and_its_user_can_be_forgotten(
    settings: Settings, broker: KafkaBroker, tracker: Tracker, cassandra_proxy: TcpProxy
) -> None:
    names = [f"c{number}" for number in range(100)]
    put(broker, *names[:50])
    turn_until_committed(tracker, broker)
    before = broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC)
    cassandra_proxy.close()
    put(broker, *names[50:])
    with pytest.raises(StoreUnavailableError):
        eventually(tracker.turn, "a failure")
    assert broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC) == before
    cassandra_proxy.open()
    turn_until_committed(tracker, broker)
    history = wiring.history(settings)
    assert [name for name in names if history.notification(f"n-{name}") is None] == []
    assert len(history.by_user("carla", limit=200).items) == len(names)

    done = wiring.forget_user(settings).forget("carla")
    assert (done.removed["notifications"], done.removed["outcomes"]) == (100, 100)
    assert [held.where for held in done.still_held] == ["kafka", "redis", "cassandra"]
    assert history.by_user("carla").items == []
    record = history.notification("n-c0")
    assert record is not None
    assert (record.user_id, record.event, record.outcomes[0].status) == ("", None, Status.SENT)
