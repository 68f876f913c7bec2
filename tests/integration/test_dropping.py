"""Dropping parked deliveries over a real broker, Redis and SQLite, cut off at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.batch import Verdict
from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.outcome import Outcome, Reason, Status
from app.domain.parked_choice import ParkedChoice
from app.settings import Settings
from bridges import dropping as dropping_module
from bridges.dropping import Dropped, Dropping
from bridges.scheduler import Scheduler
from infrastructure import wiring
from infrastructure.kafka.writer import Ack, RecordWriter
from infrastructure.redis.claims import RedisClaims
from infrastructure.sql.parked import SqlParked
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually

LANE = "notifications.medium.log"
HOUR_MS = 3_600_000
ALL = ParkedChoice()


@pytest.fixture
def dropping(service: Settings) -> Iterator[Dropping]:
    made = Dropping(service)
    yield made
    made.close()


def park(service: Settings, *names: str, due_in_ms: int = HOUR_MS, **given: Any) -> None:
    due_at_ms = now_ms() + due_in_ms
    wiring.parked(service).park(
        [Parked(delivery=delivery(name, **given), due_at_ms=due_at_ms, reason=Reason.QUIET_HOURS) for name in names]
    )


def parked(service: Settings) -> int:
    return sum(rows for reasons in wiring.parked(service).counts().values() for rows in reasons.values())


def outcomes(broker: KafkaBroker) -> list[Outcome]:
    return [decode(record.value, Outcome) for record in broker.records(OUTCOMES_TOPIC)]


def drop(dropping: Dropping, limit: int = 999) -> Counter[Dropped]:
    return dropping.drop(ALL, limit, lambda _: None)


def taken(service: Settings, name: str, pass_no: int) -> str:
    """What a worker finds that claims the delivery now."""
    [found] = wiring.claims(service).take(
        [(name, pass_no, f"n-{name}")], owner="worker", until_ms=now_ms() + 1000, alone=False
    )
    return found.state


def test_a_dropped_delivery_ends_as_cancelled_and_is_never_taken_again(
    service: Settings, broker: KafkaBroker, dropping: Dropping
) -> None:
    park(service, "a", "b", pass_no=2, attempt=1)
    assert drop(dropping) == Counter({Dropped.DROPPED: 2})
    told = {(one.delivery_id, one.pass_no, one.status, one.reason) for one in outcomes(broker)}
    assert told == {(name, 3, Status.CANCELLED, Reason.DROPPED_BY_OPERATOR) for name in "ab"}
    assert all(one.event is not None for one in outcomes(broker))
    assert parked(service) == 0
    assert {taken(service, name, pass_no) for name in "ab" for pass_no in (3, 4)} == {"finished"}


def test_no_more_than_the_limit_and_only_the_choice(service: Settings, dropping: Dropping) -> None:
    park(service, *(f"d{number}" for number in range(dropping_module.CHUNK + 10)))
    assert dropping.drop(ParkedChoice(reason="lane_full"), 9, lambda _: None) == Counter()
    assert drop(dropping, dropping_module.CHUNK + 5)[Dropped.DROPPED] == dropping_module.CHUNK + 5
    assert parked(service) == 5


def test_what_a_scheduler_holds_is_left(service: Settings, dropping: Dropping) -> None:
    park(service, "a", due_in_ms=-1)
    now = now_ms()
    wiring.parked(service).lease_due(now_ms=now, lease_until_ms=now + 60_000, owner="scheduler", limit=1)
    assert drop(dropping) == Counter()
    assert parked(service) == 1


def test_one_whose_next_pass_is_being_worked_on_is_left(
    service: Settings, broker: KafkaBroker, dropping: Dropping
) -> None:
    """A scheduler died between writing it to its lane and deleting the row."""
    park(service, "a")
    assert taken(service, "a", 1) == "taken"
    assert drop(dropping) == Counter({Dropped.UNDER_WAY: 1})
    assert outcomes(broker) == []
    assert parked(service) == 1


def test_one_whose_next_pass_was_sent_only_loses_its_row(
    service: Settings, broker: KafkaBroker, dropping: Dropping
) -> None:
    park(service, "a")
    wiring.claims(service).done([("a", 1, "sent")])
    assert drop(dropping) == Counter({Dropped.DONE_BEFORE: 1})
    assert outcomes(broker) == []
    assert parked(service) == 0


def test_one_whose_call_was_not_answered_stays_in_doubt(service: Settings, dropping: Dropping) -> None:
    park(service, "a")
    claims = wiring.claims(service)
    claims.take([("a", 1, "n-a")], owner="dead", until_ms=now_ms() - 1, alone=False)
    [permit] = claims.advance(owner="dead", until_ms=now_ms() - 1, answered=[], calling=[("a", 1, "n-a")])
    assert permit.may_call
    assert drop(dropping) == Counter({Dropped.UNDER_WAY: 1})
    assert taken(service, "a", 1) == "in_doubt"


CUTS = [(RedisClaims, "advance"), (SqlParked, "hasten"), (RecordWriter, "write"), (RedisClaims, "done")]
CUTS += [(SqlParked, "remove")]


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "method"), CUTS, ids=[method for _, method in CUTS])
def test_cut_off_anywhere_it_is_either_dropped_or_goes_on(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, kind: type, method: str, is_done: bool
) -> None:
    """Once its outcome may have been written, whoever claims it finds that, and never sends it."""
    monkeypatch.setattr(dropping_module, "_LEASE_MS", 1000)
    park(service, "a")
    cut_off(monkeypatch, service, kind, method, is_done)
    told = outcomes(broker)
    scheduler = Scheduler(service)
    try:
        if method == "advance" or (method == "hasten" and not is_done):
            assert told == []
            store = wiring.parked(service)
            eventually(lambda: store.make_due(ALL, now_ms=now_ms(), limit=1), "its time, an hour later")
        if parked(service):
            eventually(lambda: scheduler.turn() or parked(service) == 0, "it comes back")
    finally:
        scheduler.close()
    came_back = [decode(record.value, Delivery) for record in broker.records(LANE)]
    assert told or came_back
    for one in came_back:
        eventually(lambda one=one: taken_state(service, one) != "busy", "the claim runs out")  # type: ignore[misc]
        state = taken_state(service, one)
        assert state == ("taken" if method == "advance" and not is_done else "answered" if not told else state)
        assert not (told and state == "taken")


def cut_off(monkeypatch: pytest.MonkeyPatch, service: Settings, kind: type, method: str, is_done: bool) -> None:
    """Drop, and die at that call."""
    original = getattr(kind, method)

    def dies(*args: Any, **given: Any) -> Any:
        if is_done:
            found = original(*args, **given)
            if isinstance(found, Ack):
                args[0].wait([found], 5.0)
        raise StoreUnavailableError("cut off")

    dropping = Dropping(service)
    with monkeypatch.context() as patch:
        patch.setattr(kind, method, dies)
        with pytest.raises(StoreUnavailableError):
            drop(dropping)
    dropping.close()


def taken_state(service: Settings, one: Delivery) -> str:
    [found] = wiring.claims(service).take([one.claimable], owner="worker", until_ms=now_ms() + 9, alone=False)
    if found.state == "answered":
        assert decode(found.answer, Verdict).reason == Reason.DROPPED_BY_OPERATOR
    return found.state


def test_a_full_topic_is_waited_for_and_then_told(
    monkeypatch: pytest.MonkeyPatch, service: Settings, dropping: Dropping
) -> None:
    from infrastructure.kafka import guard

    monkeypatch.setattr(guard, "_bound", lambda _topic: 0)
    monkeypatch.setattr(dropping_module, "_ROOM_S", 0.2)
    park(service, "a")
    with pytest.raises(StoreUnavailableError):
        drop(dropping)
    assert parked(service) == 1
    assert encode(Verdict(status=Status.CANCELLED)).startswith(b'{"status":"cancelled"')
