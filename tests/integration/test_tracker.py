"""The tracker over a real broker and SQLite: a history that is away means lag, nothing else."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.outcome import Outcome, Status
from app.settings import Settings
from bridges.tracker import Tracker
from infrastructure import wiring
from infrastructure.kafka.groups import TRACKER_GROUP
from infrastructure.sql.engine import shared_engine
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually

LOCK_S = 0.1


@pytest.fixture
def settings(service: Settings) -> Iterator[Settings]:
    """A short wait for locks."""
    made = dataclasses.replace(service, store_timeout_s=LOCK_S)
    yield made
    shared_engine(made.history_url, LOCK_S).dispose()


@pytest.fixture
def tracker(settings: Settings) -> Iterator[Tracker]:
    made = Tracker(settings)
    yield made
    made.close()


def outcome(name: str, status: Status = Status.SENT) -> Outcome:
    return delivery(name).outcome(status=status, reason="", at_ms=1)


def put(broker: KafkaBroker, *names: str) -> None:
    for name in names:
        broker.put(OUTCOMES_TOPIC, encode(outcome(name)), key=name)
    broker.flush()


def is_committed(broker: KafkaBroker) -> bool:
    return sum(broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC).values()) == broker.written(OUTCOMES_TOPIC)


def turn_until_committed(tracker: Tracker, broker: KafkaBroker) -> None:
    eventually(lambda: tracker.turn() or is_committed(broker), "all outcomes are committed")


def kept(settings: Settings, *names: str) -> list[str]:
    """Those of the notifications that the history has."""
    history = wiring.history(settings)
    return [name for name in names if history.notification(f"n-{name}") is not None]


def test_outcomes_are_in_the_history_before_the_offset_moves(
    settings: Settings, broker: KafkaBroker, tracker: Tracker
) -> None:
    names = [f"d{number}" for number in range(300)]
    put(broker, *names)
    turn_until_committed(tracker, broker)
    assert tracker.is_ready()
    assert kept(settings, *names) == names
    record = wiring.history(settings).notification("n-d0")
    assert record is not None
    assert (record.user_id, [one.status for one in record.outcomes]) == ("user-001", [Status.SENT])


def test_an_outcome_that_is_none_is_left_out(settings: Settings, broker: KafkaBroker, tracker: Tracker) -> None:
    put(broker, "a")
    broker.put(OUTCOMES_TOPIC, b"not an outcome")
    broker.put(OUTCOMES_TOPIC, b"[" * 100_000)
    put(broker, "b")
    turn_until_committed(tracker, broker)
    assert kept(settings, "a", "b") == ["a", "b"]


def test_a_locked_history_means_lag_and_no_loss(settings: Settings, broker: KafkaBroker, tracker: Tracker) -> None:
    put(broker, "first")
    turn_until_committed(tracker, broker)
    before = broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC)
    path = settings.history_url.removeprefix("sqlite:///")
    locking = sqlite3.connect(path, isolation_level=None)
    locking.execute("BEGIN IMMEDIATE")
    put(broker, "a", "b")
    failures = 0

    def fail() -> bool:
        nonlocal failures
        try:
            tracker.turn()
        except StoreUnavailableError:
            failures += 1
            put(broker, f"meanwhile-{failures}")
        return failures >= 3

    eventually(fail, "three failures")
    assert broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC) == before
    assert tracker._reader.assigned, "it keeps its place in the group"
    assert len(tracker._reader.kept) <= 2 + failures, "it does not read on"
    locking.execute("ROLLBACK")
    locking.close()
    turn_until_committed(tracker, broker)
    names = ["first", "a", "b", "meanwhile-1", "meanwhile-2", "meanwhile-3"]
    assert kept(settings, *names) == names


def test_a_history_whose_file_cannot_be_opened_is_waited_for(
    tmp_path: Path, settings: Settings, broker: KafkaBroker
) -> None:
    folder = tmp_path / "mounted later"
    folder.mkdir()
    place = folder / "history.db"
    broken = dataclasses.replace(settings, history_url=f"sqlite:///{place}")
    place.mkdir()  # a folder where the file should be
    tracker = Tracker(broken)
    put(broker, "a")
    with pytest.raises(StoreUnavailableError):
        eventually(tracker.turn, "a failure")
    assert broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC) == {}
    place.rmdir()
    with pytest.raises(StoreUnavailableError):
        tracker.turn()  # there is a file now, but no table in it
    wiring.migrate_stores(broken)
    turn_until_committed(tracker, broker)
    assert kept(broken, "a") == ["a"]
    tracker.close()
    shared_engine(broken.history_url, LOCK_S).dispose()
    shared_engine(broken.database_url, LOCK_S).dispose()


def test_what_was_not_committed_is_written_again_at_no_harm(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, broker: KafkaBroker, tracker: Tracker
) -> None:
    put(broker, "a")

    def fail(offsets: object) -> None:
        if offsets:
            raise StoreUnavailableError("no commit")

    monkeypatch.setattr(tracker._reader, "commit", fail)
    with pytest.raises(StoreUnavailableError, match="no commit"):
        eventually(tracker.turn, "a failure")
    tracker.close()
    assert kept(settings, "a") == ["a"]
    second = Tracker(settings)
    turn_until_committed(second, broker)
    second.close()
    record = wiring.history(settings).notification("n-a")
    assert record is not None
    assert len(record.outcomes) == 1


def test_what_was_taken_away_is_not_committed(settings: Settings, broker: KafkaBroker, tracker: Tracker) -> None:
    put(broker, "a")
    locking = sqlite3.connect(settings.history_url.removeprefix("sqlite:///"), isolation_level=None)
    locking.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError):
        eventually(tracker.turn, "a failure")
    tracker._reader._forget([(OUTCOMES_TOPIC, number) for number in range(4)])
    locking.execute("ROLLBACK")
    locking.close()
    tracker.turn()
    assert broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC) == {}
