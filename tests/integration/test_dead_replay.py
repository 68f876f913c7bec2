"""Dead letters put back, over a real broker, Redis and SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery, Parked
from app.domain.lane import DEAD_TOPIC, OUTCOMES_TOPIC, RAW_TOPIC
from app.domain.outcome import Outcome, Reason, Status
from app.settings import Settings
from bridges.dead_replay import DeadReplay, Fate
from bridges.dispatch.dead import DeadLetters
from bridges.router import Router
from infrastructure import wiring
from infrastructure.kafka.dead_letters import DEAD_BODY_BYTES, DeadLetter, dead_letter_of
from infrastructure.kafka.event_log import headers_of
from infrastructure.kafka.outcome_log import KafkaOutcomeLog
from infrastructure.kafka.records import Record
from infrastructure.kafka.writer import RecordWriter
from tests.support.deliveries import delivery, raw_record
from tests.support.kafka_broker import KafkaBroker, eventually

LANE = "notifications.medium.log"
UNTIL_MS = 60_000


@pytest.fixture
def replaying(service: Settings) -> Iterator[DeadReplay]:
    made = DeadReplay(service)
    yield made
    made.close()


def letters(broker: KafkaBroker) -> list[DeadLetter]:
    return [dead_letter_of(record) for record in broker.records(DEAD_TOPIC)]


def poisoned(service: Settings, broker: KafkaBroker, one: Delivery) -> DeadLetter:
    """A delivery that workers died on: its dead letter as a worker writes it, and its claim as `record` leaves it."""
    outcome = one.outcome(status=Status.FAILED, reason=Reason.POISON, at_ms=now_ms())
    log = KafkaOutcomeLog(service)
    log.dead_letter(outcome, encode(one))
    log.close()
    wiring.claims(service).done([(one.id, one.pass_no, "failed")])
    return letters(broker)[-1]


def on_lane(broker: KafkaBroker) -> list[Delivery]:
    return [decode(record.value, Delivery) for record in broker.records(LANE)]


def taken(service: Settings, name: str, pass_no: int, owner: str = "worker") -> str:
    until_ms = now_ms() + UNTIL_MS
    [found] = wiring.claims(service).take([(name, pass_no, f"n-{name}")], owner=owner, until_ms=until_ms, alone=False)
    return found.state


def test_a_poisoned_delivery_goes_on_as_its_next_pass_and_twice_is_once(
    service: Settings, broker: KafkaBroker, replaying: DeadReplay
) -> None:
    letter = poisoned(service, broker, delivery("a", pass_no=2, attempt=3, user_id="anna"))
    assert (letter.source, letter.reason, letter.origin.key) == ("medium.log", "poison", "anna")
    assert taken(service, "a", 3) == "finished"  # as long as it is not replayed
    assert replaying.replay([letter]) == [Fate.REPLAYED]
    assert replaying.replay([letter]) == [Fate.REPLAYED]
    first, second = on_lane(broker)
    assert first == second
    assert (first.pass_no, first.attempt) == (3, 3)
    assert taken(service, "a", 3) == "taken"
    assert replaying.fate(letter) is Fate.BEFORE
    wiring.claims(service).done([("a", 3, "sent")])
    assert taken(service, "a", 3, "of the second record") == "finished"
    assert replaying.replay([letter]) == [Fate.BEFORE]
    told = [decode(record.value, Outcome) for record in broker.records(OUTCOMES_TOPIC)]
    assert {(one.pass_no, one.status, one.reason) for one in told} == {(3, Status.ACCEPTED, Reason.REPLAYED)}


@pytest.mark.parametrize("where", ["history", "parked"])
def test_one_that_went_on_long_ago_is_known_without_its_claim(
    service: Settings, broker: KafkaBroker, replaying: DeadReplay, where: str
) -> None:
    one = delivery("a")
    letter = poisoned(service, broker, one)
    if where == "history":
        sent = one.next_pass().outcome(status=Status.SENT, reason="", at_ms=now_ms())
        wiring.history(service).append([sent])
    else:
        row = Parked(delivery=one.next_pass(), due_at_ms=now_ms() + UNTIL_MS, reason=Reason.QUIET_HOURS)
        wiring.parked(service).park([row])
    assert replaying.replay([letter]) == [Fate.BEFORE]
    assert on_lane(broker) == []


def test_an_event_goes_back_to_raw_as_it_was(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, replaying: DeadReplay
) -> None:
    """The router could not read it; after a fix it can."""
    given = raw_record()
    router = Router(service)
    with monkeypatch.context() as patch:
        patch.setattr("bridges.routing.RECORD_VERSION", 99)
        broker.put(RAW_TOPIC, given.body, key="anna", headers=headers_of(given))
        broker.flush()
        eventually(lambda: router.turn() or broker.records(DEAD_TOPIC), "the dead letter")
    [letter] = letters(broker)
    assert (letter.source, letter.reason, letter.notification_id) == ("raw", "undecodable", given.id)
    assert replaying.replay([letter]) == [Fate.REPLAYED]
    was, again = sorted(broker.records(RAW_TOPIC), key=lambda record: record.timestamp_ms)
    assert (was.key, was.value, was.headers) == (again.key, again.value, again.headers)
    eventually(lambda: router.turn() or broker.records("notifications.medium.in_app"), "its delivery")
    router.close()
    sent = decode(broker.records("notifications.medium.in_app")[0].value, Delivery)
    wiring.history(service).append([sent.outcome(status=Status.SENT, reason="", at_ms=now_ms())])
    assert replaying.replay([letter]) == [Fate.BEFORE]


def test_a_lane_record_of_another_version_goes_on_once_this_one_reads_it(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker, replaying: DeadReplay
) -> None:
    writer = RecordWriter(service, timeout_s=5.0)
    one = delivery("a")
    with monkeypatch.context() as patch:
        patch.setattr("bridges.dispatch.dead.RECORD_VERSION", 99)
        assert not DeadLetters(writer).is_sound(Record(LANE, 1, 7, "anna", encode(one), {}))
    DeadLetters(writer).is_sound(Record(LANE, 1, 8, "anna", b"{", {}))
    writer.close()
    sound, broken = sorted(letters(broker), key=lambda letter: letter.detail)
    assert sound.source == "medium.log"
    assert replaying.replay([sound, broken]) == [Fate.REPLAYED, Fate.UNDECODABLE]
    assert on_lane(broker) == [one.next_pass()]


@pytest.mark.parametrize(
    ("wrong", "accepted_at_ms"),
    [
        ({"v": 99}, 5000),
        ({"channel": 7}, 5000),
        ({"v": 99, "accepted_at_ms": "then"}, 6000),
        ({"accepted_at_ms": True}, 6000),
    ],
    ids=["version", "type", "time", "no number"],
)
def test_a_lane_record_that_is_none_is_shown_where_its_notification_is(
    service: Settings, broker: KafkaBroker, wrong: dict[str, Any], accepted_at_ms: int
) -> None:
    """Its own ids, its user by the record's key; one entry, whatever else is heard of the notification."""
    one, other = (delivery(name, notification_id="n", user_id="anna", accepted_at_ms=5000) for name in "ab")
    body = encode(decode(encode(one), dict[str, Any]) | wrong)
    writer = RecordWriter(service, timeout_s=5.0)
    assert not DeadLetters(writer).is_sound(Record(LANE, 1, 7, "anna", body, {}, 6000))
    writer.close()
    [outcome] = [decode(record.value, Outcome) for record in broker.records(OUTCOMES_TOPIC)]
    assert (outcome.notification_id, outcome.delivery_id, outcome.user_id) == ("n", "a", "anna")
    assert (outcome.channel, outcome.accepted_at_ms) == ("log", accepted_at_ms)
    history = wiring.history(service)
    history.append([outcome])
    history.append([other.outcome(status=Status.SENT, reason="", at_ms=7000)])
    [shown] = history.by_user("anna").items
    assert {found.delivery_id for found in shown.outcomes} == {"a", "b"}
    assert shown.event is not None


def test_what_cannot_be_put_back_is_told(broker: KafkaBroker, replaying: DeadReplay) -> None:
    def fate(**headers: Any) -> Fate:
        given = {name: str(value).encode() for name, value in headers.items()}
        return replaying.fate(dead_letter_of(Record(DEAD_TOPIC, 0, 0, "", b"{}", given)))

    assert fate(topic=RAW_TOPIC, cut="true") is Fate.CUT
    assert fate(topic=RAW_TOPIC) is Fate.HEADLESS
    assert fate(topic=LANE) is Fate.UNDECODABLE
    assert fate() is Fate.UNPLACED
    assert fate(detail=f"{LANE}:1:2: is no JSON") is Fate.UNDECODABLE  # as an earlier version wrote it


def test_a_body_of_any_event_that_was_taken_in_is_kept_whole(service: Settings, broker: KafkaBroker) -> None:
    one = delivery("a", content="x" * 256 * 1024)
    assert len(encode(one)) < DEAD_BODY_BYTES
    assert not poisoned(service, broker, one).is_cut
