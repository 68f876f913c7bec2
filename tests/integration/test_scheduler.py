"""The scheduler over a real broker and SQLite: due rows come back once, as their next pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import StoreUnavailableError
from app.domain.lane import Priority
from app.domain.outcome import Reason
from app.settings import Settings
from bridges import scheduler as scheduler_module
from bridges.scheduler import Scheduler
from infrastructure import wiring
from infrastructure.kafka import guard
from infrastructure.kafka.writer import Ack, RecordWriter
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually

LANE = "notifications.medium.log"


@pytest.fixture
def scheduler(service: Settings) -> Iterator[Scheduler]:
    made = Scheduler(service)
    yield made
    made.close()


def park(service: Settings, *names: str, due_in_ms: int = -1, **given: Any) -> None:
    due_at_ms = now_ms() + due_in_ms
    rows = [
        Parked(delivery=delivery(name, **given), due_at_ms=due_at_ms, reason=Reason.PROVIDER_TRANSIENT)
        for name in names
    ]
    wiring.parked(service).park(rows)


def parked(service: Settings) -> int:
    return sum(rows for reasons in wiring.parked(service).counts().values() for rows in reasons.values())


def on_lane(broker: KafkaBroker, topic: str = LANE) -> list[Delivery]:
    return [decode(record.value, Delivery) for record in broker.records(topic)]


def test_a_due_row_comes_back_as_its_next_pass_with_what_it_has_used_up(
    service: Settings, broker: KafkaBroker, scheduler: Scheduler
) -> None:
    park(service, "a", pass_no=2, attempt=5, retries=3, slot_at_ms=77, user_id="anna")
    scheduler.turn()
    [record] = broker.records(LANE)
    [found] = on_lane(broker)
    assert record.key == "anna"
    assert (found.id, found.pass_no, found.attempt, found.retries, found.slot_at_ms) == ("a", 3, 5, 3, 77)
    assert parked(service) == 0


def test_what_is_not_due_stays(service: Settings, broker: KafkaBroker, scheduler: Scheduler) -> None:
    park(service, "later", due_in_ms=60_000)
    park(service, "now")
    scheduler.turn()
    assert [one.id for one in on_lane(broker)] == ["now"]
    assert parked(service) == 1


def test_high_comes_first(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, scheduler: Scheduler
) -> None:
    monkeypatch.setattr(scheduler_module, "_LIMIT", 3)
    park(service, "l1", "l2", due_in_ms=-60_000, priority=Priority.LOW)
    park(service, "m1", "m2", due_in_ms=-30_000, priority=Priority.MEDIUM)
    park(service, "h1", "h2", priority=Priority.HIGH)
    scheduler.turn()
    assert sorted(one.id for one in on_lane(broker, "notifications.high.log")) == ["h1", "h2"]
    assert len(on_lane(broker)) == 1
    assert on_lane(broker, "notifications.low.log") == []
    scheduler.turn()
    assert sorted(one.id for one in on_lane(broker, "notifications.low.log")) == ["l1", "l2"]


def test_a_row_is_deleted_only_after_the_ack(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, scheduler: Scheduler
) -> None:
    park(service, "a", "b")
    monkeypatch.setattr(scheduler_module, "_LEASE_MS", 100)
    monkeypatch.setattr(scheduler_module, "_ACK_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(RecordWriter, "write", lambda *_: Ack())
        scheduler.turn()
    assert parked(service) == 2
    monkeypatch.setattr(scheduler_module, "_ACK_S", 8.0)
    eventually(lambda: scheduler.turn() or parked(service) == 0, "the lease to run out")
    assert sorted(one.id for one in on_lane(broker)) == ["a", "b"]


def test_a_row_stays_where_its_lane_is_full_and_the_others_go(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, scheduler: Scheduler
) -> None:
    monkeypatch.setattr(guard, "_bound", lambda topic: 0 if topic == LANE else guard.PARTITION_BYTES)
    monkeypatch.setattr(scheduler_module, "_LEASE_MS", 100)
    park(service, "full")
    park(service, "free", priority=Priority.HIGH)
    scheduler.turn()
    assert [one.id for one in on_lane(broker, "notifications.high.log")] == ["free"]
    assert wiring.parked(service).counts() == {"medium.log": {"provider_transient": 1}}
    monkeypatch.setattr(guard, "_bound", lambda _topic: guard.PARTITION_BYTES)
    eventually(lambda: scheduler.turn() or parked(service) == 0, "room")
    assert [one.id for one in on_lane(broker)] == ["full"]


def test_a_broker_that_is_gone_keeps_the_rows(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, scheduler: Scheduler
) -> None:
    monkeypatch.setattr(guard, "_CALL_TIMEOUT_S", 0.1)
    park(service, "a")
    broker.stop()
    with pytest.raises(StoreUnavailableError):
        scheduler.turn()
    assert parked(service) == 1


def test_the_lease_outlives_the_wait_for_acks() -> None:
    assert scheduler_module._LEASE_MS > scheduler_module._ACK_S * 1000


def test_two_schedulers_never_write_a_row_twice_within_a_lease(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker
) -> None:
    monkeypatch.setattr(scheduler_module, "_LIMIT", 7)
    monkeypatch.setattr(scheduler_module, "_IDLE_S", 0.001)
    names = [f"d{number}" for number in range(150)]
    park(service, *names)
    schedulers = [Scheduler(service) for _ in range(3)]
    errors: list[BaseException] = []

    def work(scheduler: Scheduler) -> None:
        try:
            eventually(lambda: scheduler.turn() or parked(service) == 0, "all rows are gone")
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in schedulers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in schedulers:
        one.close()
    assert errors == []
    assert sorted(one.id for one in on_lane(broker)) == sorted(names)
