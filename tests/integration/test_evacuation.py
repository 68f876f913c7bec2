"""What is left in Kafka at a stop is parked, for the embedded broker keeps nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from app.domain.batch import Finished
from app.domain.callback import CallbackReceiver
from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.delivery import Parked
from app.domain.errors import StoreUnavailableError
from app.domain.lane import FINISHED_TOPIC, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC, Lane, Priority
from app.domain.outcome import Reason, Status
from app.settings import Settings
from bridges.evacuation import evacuate
from infrastructure import wiring
from infrastructure.kafka import reader as reader_module
from infrastructure.kafka.event_log import headers_of
from infrastructure.kafka.groups import CALLBACKS_GROUP, ROUTER_GROUP, TRACKER_GROUP, dispatcher_group
from tests.support.deliveries import delivery, raw_record
from tests.support.kafka_broker import KafkaBroker

LANE = Lane(Priority.MEDIUM, "log")


def on_lane(broker: KafkaBroker, *names: str, partition: int = 0, **given: Any) -> None:
    for name in names:
        one = delivery(name, **given)
        broker.put(one.lane.topic, encode(one), partition=partition)
    broker.flush()


def finished(broker: KafkaBroker, first: int, last: int, *still_open: int, not_after_ms: int = 1) -> None:
    record = Finished(
        queue=LANE.queue,
        topic=LANE.topic,
        partition=0,
        first=first,
        last=last,
        sent_at_ms=1,
        not_after_ms=not_after_ms,
        open=[(offset, "busy") for offset in still_open],
    )
    broker.put(FINISHED_TOPIC, encode(record), key=record.key)
    broker.flush()


def rows(settings: Settings) -> list[Parked]:
    now = now_ms()
    return wiring.parked(settings).lease_due(now_ms=now + 1000, lease_until_ms=now + 2000, owner="t", limit=999)


def names(settings: Settings) -> list[str]:
    return sorted(row.delivery.id for row in rows(settings))


def status(settings: Settings, name: str) -> list[tuple[Status, str]]:
    record = wiring.history(settings).notification(f"n-{name}")
    return [(one.status, one.reason) for one in record.outcomes] if record else []


def test_nothing_left_is_nothing_parked(service: Settings) -> None:
    assert evacuate(service) == 0
    assert rows(service) == []


def test_deliveries_that_wait_on_their_lanes_are_parked_as_they_are(service: Settings, broker: KafkaBroker) -> None:
    on_lane(broker, "h", priority=Priority.HIGH, pass_no=2, retries=1)
    on_lane(broker, "l", priority=Priority.LOW, channel="email", partition=3)
    assert evacuate(service) == 2
    found = {row.delivery.id: row for row in rows(service)}
    assert (found["h"].delivery.pass_no, found["h"].delivery.retries) == (2, 1)
    assert found["l"].delivery.lane.queue == "low.email"
    assert {row.reason for row in found.values()} == {Reason.SHUTDOWN}
    assert status(service, "h") == [(Status.PARKED, Reason.SHUTDOWN)]


def test_what_the_dispatcher_has_committed_is_left_out(service: Settings, broker: KafkaBroker) -> None:
    on_lane(broker, "a", "b", "c")
    broker.commit(dispatcher_group(Priority.MEDIUM), LANE.topic, {0: 2})
    evacuate(service)
    assert names(service) == ["c"]


def test_what_finished_knows_as_done_is_left_out(service: Settings, broker: KafkaBroker) -> None:
    on_lane(broker, "a", "b", "c", "d", "e")
    finished(broker, 0, 3, 1, 3)
    finished(broker, 0, 3, 1, not_after_ms=2)
    evacuate(service)
    assert names(service) == ["b", "e"]


def test_finished_counts_for_its_partition_only(service: Settings, broker: KafkaBroker) -> None:
    on_lane(broker, "a")
    on_lane(broker, "b", partition=1)
    finished(broker, 0, 0)
    evacuate(service)
    assert names(service) == ["b"]


def test_events_that_were_not_routed_are_routed_and_parked(service: Settings, broker: KafkaBroker) -> None:
    record = raw_record(id="n-raw")
    for topic in (RAW_TOPIC, RAW_LOW_TOPIC):
        body = b'{"user_id":"u","event_type":"t","content":"x","options":{"channels":["log","in_app"]}}'
        broker.put(topic, body, headers=headers_of(record) | {"ce_id": topic.encode()}, partition=1)
    broker.put(RAW_TOPIC, b"read before", headers=headers_of(record), partition=2)
    broker.flush()
    broker.commit(ROUTER_GROUP, RAW_TOPIC, {2: 1})
    assert evacuate(service) == 4
    assert {row.delivery.notification_id for row in rows(service)} == {RAW_TOPIC, RAW_LOW_TOPIC}
    assert wiring.history(service).notification("n-raw") is None


def test_events_that_yield_no_delivery_have_their_outcome_in_the_history(
    service: Settings, broker: KafkaBroker
) -> None:
    body = b'{"user_id":"u","event_type":"t","content":"x","options":{"channels":["fax"]}}'
    broker.put(RAW_TOPIC, body, headers=headers_of(raw_record(id="n-fax")))
    broker.put(RAW_TOPIC, b"not json", headers=headers_of(raw_record(id="n-poison")))
    broker.flush()
    assert evacuate(service) == 0
    assert status(service, "fax") == [(Status.FAILED, Reason.NO_CHANNELS)]
    assert status(service, "poison") == [(Status.FAILED, Reason.UNDECODABLE)]


def test_outcomes_that_were_not_tracked_are_in_the_history(service: Settings, broker: KafkaBroker) -> None:
    for name in ("tracked", "late"):
        outcome = delivery(name).outcome(status=Status.SENT, reason="", at_ms=5)
        broker.put(OUTCOMES_TOPIC, encode(outcome), partition=0)
    broker.flush()
    broker.commit(TRACKER_GROUP, OUTCOMES_TOPIC, {0: 1})
    assert evacuate(service) == 0
    assert status(service, "tracked") == []
    assert status(service, "late") == [(Status.SENT, "")]


@pytest.mark.parametrize(("auth", "kept"), [("keys", {"0123456789ab": 1}), ("none", {})])
def test_outcomes_that_were_not_looked_at_for_callbacks_are_kept_as_such(
    service: Settings, broker: KafkaBroker, auth: str, kept: dict[str, int]
) -> None:
    settings = dataclasses.replace(service, http_auth=auth)
    receiver = CallbackReceiver(key_id="0123456789ab", url="https://example.com/", salt="", since_ms=1)
    wiring.callback_receivers(settings).put(receiver)
    for name in ("kept before", "late"):
        outcome = delivery(name, key_id=receiver.key_id).outcome(status=Status.SENT, reason="", at_ms=5)
        broker.put(OUTCOMES_TOPIC, encode(outcome), partition=0)
    broker.flush()
    broker.commit(CALLBACKS_GROUP, OUTCOMES_TOPIC, {0: 1})
    evacuate(settings)
    assert wiring.pending_callbacks(settings).counts() == kept


@pytest.mark.parametrize("junk", [b"", b"not json", b"{}", b"[" * 100_000], ids=["empty", "text", "object", "deep"])
def test_records_that_are_none_stop_nobody(service: Settings, broker: KafkaBroker, junk: bytes) -> None:
    for topic in (RAW_TOPIC, RAW_LOW_TOPIC, LANE.topic, FINISHED_TOPIC, OUTCOMES_TOPIC):
        broker.put(topic, junk, partition=0)
    broker.flush()
    on_lane(broker, "a", "b")
    finished(broker, 0, 1)
    evacuate(service)
    assert names(service) == ["b"]


def test_evacuating_twice_parks_once(service: Settings, broker: KafkaBroker) -> None:
    on_lane(broker, "a")
    evacuate(service)
    evacuate(service)
    assert names(service) == ["a"]
    assert len(status(service, "a")) == 1


def test_many_are_parked(service: Settings, broker: KafkaBroker) -> None:
    for partition in range(4):
        on_lane(broker, *(f"{partition}-{number}" for number in range(300)), partition=partition)
    assert evacuate(service) == 1200
    assert wiring.parked(service).counts() == {"medium.log": {"shutdown": 1200}}


def test_a_broker_that_is_gone_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker
) -> None:
    monkeypatch.setattr(reader_module, "_CALL_TIMEOUT_S", 0.1)
    broker.stop()
    with pytest.raises(StoreUnavailableError):
        evacuate(service)
