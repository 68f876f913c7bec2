"""The router over a real broker: what it passes on, what it parks, and when it commits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.delivery import Delivery
from app.domain.errors import StoreUnavailableError
from app.domain.lane import DEAD_TOPIC, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC
from app.domain.outcome import Outcome, Reason, Status
from app.settings import Settings
from bridges import router as router_module
from bridges.router import Router
from infrastructure import wiring
from infrastructure.kafka import guard
from infrastructure.kafka.event_log import headers_of
from infrastructure.kafka.groups import ROUTER_GROUP, ROUTER_LOW_GROUP
from infrastructure.kafka.writer import Ack, RecordWriter
from tests.support.deliveries import raw_record
from tests.support.kafka_broker import KafkaBroker, eventually

LANE = "notifications.medium.log"


@pytest.fixture
def router(service: Settings) -> Iterator[Router]:
    made = Router(service)
    yield made
    made.close()


def accept(broker: KafkaBroker, *names: str, topic: str = RAW_TOPIC, **options: Any) -> None:
    """Events on raw, as intake puts them; each has one delivery, on channel log unless said otherwise."""
    for name in names:
        body = {"user_id": f"u-{name}", "event_type": "t", "content": "x", "options": {"channels": ["log"]} | options}
        record = raw_record(id=name, user_id=f"u-{name}", body=json.dumps(body).encode())
        broker.put(topic, record.body, key=record.user_id, headers=headers_of(record))
    broker.flush()


def is_read(broker: KafkaBroker, topic: str = RAW_TOPIC) -> bool:
    """Whether all of raw is committed."""
    group = ROUTER_GROUP if topic == RAW_TOPIC else ROUTER_LOW_GROUP
    return sum(broker.committed(group, topic).values()) == broker.written(topic)


def turn_until_read(router: Router, broker: KafkaBroker, topic: str = RAW_TOPIC) -> None:
    def look() -> bool:
        router.turn()
        return is_read(broker, topic)

    eventually(look, f"{topic} is read and committed")


def deliveries(broker: KafkaBroker, topic: str = LANE) -> list[Delivery]:
    return [decode(record.value, Delivery) for record in broker.records(topic)]


def outcomes(broker: KafkaBroker) -> list[Outcome]:
    return [decode(record.value, Outcome) for record in broker.records(OUTCOMES_TOPIC)]


def names_of(found: list[Delivery]) -> list[str]:
    return sorted(delivery.notification_id for delivery in found)


def test_each_delivery_lies_on_its_lane_before_the_offset_moves(broker: KafkaBroker, router: Router) -> None:
    accept(broker, "a", channels=["log", "in_app"], priority="high")
    accept(broker, "b")
    turn_until_read(router, broker)
    assert router.is_ready()
    assert names_of(deliveries(broker)) == ["b"]
    [in_app] = broker.records("notifications.high.in_app")
    assert in_app.key == "u-a", "a user's deliveries keep their order"
    assert decode(in_app.value, Delivery).event.user_id == "u-a"
    assert names_of(deliveries(broker, "notifications.high.log")) == ["a"]
    assert outcomes(broker) == []


def test_what_is_on_raw_low_comes_too(broker: KafkaBroker, router: Router) -> None:
    accept(broker, "a", topic=RAW_LOW_TOPIC, priority="low")
    turn_until_read(router, broker, RAW_LOW_TOPIC)
    assert names_of(deliveries(broker, "notifications.low.log")) == ["a"]


def test_low_is_read_only_while_raw_is_short(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, router: Router
) -> None:
    monkeypatch.setattr(router_module, "_SHORT", 5)
    monkeypatch.setattr(router_module, "_READ_MAX", 4)
    accept(broker, "first")
    turn_until_read(router, broker)
    eventually(lambda: router.turn() or router._low.assigned, "a place in both groups")
    accept(broker, *(f"low-{number}" for number in range(8)), topic=RAW_LOW_TOPIC, priority="low")
    accept(broker, *(f"raw-{number}" for number in range(60)))
    # as after a fetch: what is behind is known from the first record on
    eventually(lambda: router._raw.backlog(sorted(router._raw.assigned)) or router.turn(), "a long raw")
    seen = broker.written("notifications.low.log")
    while router._raw.backlog(sorted(router._raw.assigned)) >= 5:
        assert broker.written("notifications.low.log") == seen
        router.turn()
    turn_until_read(router, broker, RAW_LOW_TOPIC)
    turn_until_read(router, broker)
    assert len(deliveries(broker, "notifications.low.log")) == 8
    assert len(deliveries(broker)) == 61


def test_the_surplus_of_a_full_lane_is_parked_with_an_outcome(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, router: Router
) -> None:
    accept(broker, "before")
    turn_until_read(router, broker)
    monkeypatch.setattr(guard, "PARTITION_BYTES", 0)
    accept(broker, "a", "b")
    turn_until_read(router, broker)
    assert names_of(deliveries(broker)) == ["before"]
    rows = wiring.parked(service).lease_due(
        now_ms=now_ms() + 10_000, lease_until_ms=now_ms() + 20_000, owner="test", limit=9
    )
    assert names_of([row.delivery for row in rows]) == ["a", "b"]
    assert {row.reason for row in rows} == {Reason.LANE_FULL}
    assert {row.delivery.pass_no for row in rows} == {0}
    found = outcomes(broker)
    assert sorted(one.notification_id for one in found) == ["a", "b"]
    assert {(one.status, one.reason) for one in found} == {(Status.PARKED, Reason.LANE_FULL)}
    assert {one.until_at_ms for one in found} == {row.due_at_ms for row in rows}


def test_poison_goes_to_dead_with_its_reason_and_stops_nobody(broker: KafkaBroker, router: Router) -> None:
    sound = headers_of(raw_record(id="x"))
    accept(broker, "before")
    bodies = [b"", b"not json", b"{}", b"[" * 200_000, bytes(900_000), b"\xff" * 10]
    for body in bodies:
        broker.put(RAW_TOPIC, body, headers=sound)
    broker.put(RAW_TOPIC, b"{}", headers={})
    broker.put(RAW_TOPIC, b"{" * 100_000, headers=sound | {f"ce_x{number}": b"x" * 200 for number in range(4000)})
    broker.put(RAW_TOPIC, b"{}", headers=sound | {"ce_recordversion": b"99"})
    broker.put(RAW_TOPIC, b"{}", headers=sound | {"ce_id": b"i" * 600_000, "ce_type": b"t" * 300_000})
    deep = b'{"user_id":"u","event_type":"t","content":{"a":' + b"[" * 900 + b"]" * 900 + b"}}"
    broker.put(RAW_TOPIC, deep, headers=sound)
    accept(broker, "after")
    turn_until_read(router, broker)
    assert names_of(deliveries(broker)) == ["after", "before"]
    dead = broker.records(DEAD_TOPIC)
    assert len(dead) == len(outcomes(broker)) == len(bodies) + 5
    assert {record.header("reason") for record in dead} == {"undecodable"}
    assert all(record.header("detail") for record in dead)
    assert {one.status for one in outcomes(broker)} == {Status.FAILED}
    assert [record.header("cut") for record in dead].count("true") == 1


def test_an_event_without_a_delivery_has_an_outcome_of_its_own(broker: KafkaBroker, router: Router) -> None:
    accept(broker, "a", channels=["fax"])
    turn_until_read(router, broker)
    [outcome] = outcomes(broker)
    assert (outcome.notification_id, outcome.status, outcome.reason) == ("a", Status.FAILED, Reason.NO_CHANNELS)
    assert broker.records(DEAD_TOPIC) == []


def test_nothing_is_committed_before_the_acks(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, router: Router
) -> None:
    accept(broker, "a", "b")
    broken = True
    write = RecordWriter.write

    def lose(self: RecordWriter, topic: str, *args: Any) -> Ack:
        return Ack() if broken and topic == LANE else write(self, topic, *args)

    monkeypatch.setattr(RecordWriter, "write", lose)
    monkeypatch.setattr(router_module, "_ACK_S", 0.05)
    with pytest.raises(StoreUnavailableError, match="acknowledge"):
        eventually(router.turn, "a failure")
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            router.turn()
    assert broker.committed(ROUTER_GROUP, RAW_TOPIC) == {}
    broken = False
    turn_until_read(router, broker)
    assert names_of(deliveries(broker)) == ["a", "b"]


def test_a_lane_that_takes_no_records_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, router: Router
) -> None:
    """A partition short of replicas, or a topic that nobody made: its deliveries are parked, each other goes once."""
    refused = "notifications.low.log"
    write = RecordWriter.write

    def lose(self: RecordWriter, topic: str, *args: Any) -> Ack:
        return Ack() if topic == refused else write(self, topic, *args)

    monkeypatch.setattr(RecordWriter, "write", lose)
    for name in ("_ACK_S", "_ACK_SHORT_S"):
        monkeypatch.setattr(router_module, name, 0.5)

    def turn() -> None:
        with contextlib.suppress(StoreUnavailableError):
            router.turn()

    accept(broker, "low", priority="low")
    for _ in range(3):  # nothing else is there to tell this from a Kafka that takes nothing at all
        turn()
    assert not is_read(broker)
    accept(broker, "a", "b")
    eventually(lambda: turn() or is_read(broker), "all is read and committed")
    assert names_of(deliveries(broker)) == ["a", "b"]
    assert broker.written(refused) == 0
    rows = wiring.parked(service).lease_due(
        now_ms=now_ms() + 10_000, lease_until_ms=now_ms() + 20_000, owner="test", limit=9
    )
    assert names_of([row.delivery for row in rows]) == ["low"]
    assert [(one.status, one.reason) for one in outcomes(broker)] == [(Status.PARKED, Reason.LANE_FULL)]


def test_what_was_passed_on_is_not_passed_on_again_where_only_the_commit_failed(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, router: Router
) -> None:
    def refuse(**_given: object) -> None:
        raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))

    accept(broker, "a", "b")
    consumer = router._raw._consumer
    with monkeypatch.context() as patch:
        stub = SimpleNamespace(commit=refuse, poll=consumer.poll, consume=consumer.consume, position=consumer.position)
        stub.get_watermark_offsets = consumer.get_watermark_offsets
        patch.setattr(router._raw, "_consumer", stub)
        with pytest.raises(StoreUnavailableError, match="REBALANCE_IN_PROGRESS"):
            eventually(router.turn, "a failure")
    assert broker.committed(ROUTER_GROUP, RAW_TOPIC) == {}
    turn_until_read(router, broker)
    assert names_of(deliveries(broker)) == ["a", "b"]


def test_with_parking_away_nothing_is_committed_and_it_goes_on_by_itself(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, router: Router
) -> None:
    accept(broker, "a")
    store = wiring.parked(service)

    class Away:
        def park(self, _rows: object) -> None:
            raise StoreUnavailableError("SQL: away")

    monkeypatch.setattr(guard, "PARTITION_BYTES", 0)
    monkeypatch.setattr(router, "_parked", Away())
    with pytest.raises(StoreUnavailableError, match="away"):
        eventually(router.turn, "a failure")
    assert broker.committed(ROUTER_GROUP, RAW_TOPIC) == {}
    monkeypatch.setattr(router, "_parked", store)
    turn_until_read(router, broker)
    assert store.counts() == {"medium.log": {"lane_full": 1}}


def test_while_it_waits_it_keeps_its_place_in_the_groups(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, router: Router
) -> None:
    """Who does not poll for 5 minutes is put out of its group, and no commit of theirs is taken any more."""
    accept(broker, "a")
    monkeypatch.setattr(router_module, "_ACK_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "write", lambda *_: Ack())
        with pytest.raises(StoreUnavailableError):
            eventually(router.turn, "a failure")
        accept(broker, "b")  # arrives while it waits
        polled: list[float] = []
        for reader in (router._raw, router._low):
            patch.setattr(reader, "read", lambda *_: polled.append(0.0) or [])
        with pytest.raises(StoreUnavailableError):
            router.turn()
        assert len(polled) == 2
    turn_until_read(router, broker)
    assert names_of(deliveries(broker)) == ["a", "b"]


def test_what_was_taken_away_while_it_waited_is_left_to_its_next_owner(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, router: Router
) -> None:
    accept(broker, "a")
    monkeypatch.setattr(router_module, "_ACK_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "write", lambda *_: Ack())
        with pytest.raises(StoreUnavailableError):
            eventually(router.turn, "a failure")
    router._raw.assigned.clear()
    router.turn()
    assert broker.committed(ROUTER_GROUP, RAW_TOPIC) == {}
    assert deliveries(broker) == []


def test_two_routers_share_raw(service: Settings, broker: KafkaBroker, router: Router) -> None:
    other = Router(service)
    try:
        eventually(lambda: (router.turn(), other.turn()) and router.is_ready() and other.is_ready(), "both have a part")
        names = [f"n-{number}" for number in range(40)]
        accept(broker, *names)
        eventually(lambda: (router.turn(), other.turn()) and is_read(broker), "all is read")
        assert names_of(deliveries(broker)) == sorted(names)
    finally:
        other.close()
