"""A time of raw run again, over a real broker, Redis and SQLite; the test says what is known of each event."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery, Parked
from app.domain.ids import delivery_id
from app.domain.lane import OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC, Priority
from app.domain.outcome import Outcome, Reason, Status
from app.settings import Settings
from bridges.replaying import source as source_module
from bridges.replaying.replay import Replay
from bridges.replaying.source import RawEvents
from bridges.replaying.verdict import Why
from infrastructure import wiring
from infrastructure.kafka.event_log import headers_of
from infrastructure.kafka.groups import ROUTER_GROUP, ROUTER_LOW_GROUP
from tests.support.deliveries import event, raw_record
from tests.support.kafka_broker import KafkaBroker

LANE = "notifications.medium.log"
HOUR_MS = 3_600_000
USER = "anna"


class Past:
    """Events on raw that the router has read, and what became of them."""

    def __init__(self, service: Settings, broker: KafkaBroker) -> None:
        self.service = service
        self.broker = broker
        self.from_ms = now_ms()

    def accept(self, name: str, topic: str = RAW_TOPIC, *, age_ms: int = 0, **options: Any) -> Delivery:
        """One event for the log, routed without a trace; its delivery."""
        given = event(user_id=USER, event_type="note", options={"channels": ["log"], "priority": "medium", **options})
        accepted_at_ms = now_ms() - age_ms
        raw = raw_record(id=name, user_id=USER, event_type="note", accepted_at_ms=accepted_at_ms, body=encode(given))
        self.broker.put(topic, raw.body, key=USER, headers=headers_of(raw))
        self.broker.flush()
        return Delivery(
            id=delivery_id(name, USER, "log"),
            notification_id=name,
            channel="log",
            priority=Priority.MEDIUM,
            event=given,
            accepted_at_ms=accepted_at_ms,
            routed_at_ms=accepted_at_ms,
            expires_at_ms=accepted_at_ms + HOUR_MS,
        )

    def routed(self) -> None:
        """The router has committed all that is there."""
        for group, topic in ((ROUTER_GROUP, RAW_TOPIC), (ROUTER_LOW_GROUP, RAW_LOW_TOPIC)):
            ends: dict[int, int] = {}
            for record in self.broker.records(topic):
                ends[record.partition] = record.offset + 1
            if ends:
                self.broker.commit(group, topic, ends)

    def tell(self, one: Delivery, status: Status, *, pass_no: int = 0, is_tracked: bool = True) -> None:
        """An outcome a while ago, in the history or on its way there."""
        made = structs.replace(one, pass_no=pass_no).outcome(status=status, reason="", at_ms=self.from_ms - 1000)
        if is_tracked:
            wiring.history(self.service).append([made])
        else:
            self.broker.put(OUTCOMES_TOPIC, encode(made), key=one.notification_id)
            self.broker.flush()

    def replay(self, *, is_dry: bool = False, from_ms: int = 0, to_ms: int = 0) -> Counter[Why]:
        """What was counted, by why."""
        sums = self._run(lambda run, events: run.unfinished(events), is_dry, from_ms, to_ms)
        return Counter({row.why: count for row, count in sums.deliveries.items()})

    def as_new(self, name: str, *, is_dry: bool = False) -> int:
        """How many events were put back."""
        return self._run(lambda run, events: run.as_new(events, name), is_dry, 0, 0).done["events"]

    def _run(self, go: Any, is_dry: bool, from_ms: int, to_ms: int) -> Any:
        run = Replay(self.service, rate=None, is_dry=is_dry, tell=lambda _: None)
        events = RawEvents(self.service, from_ms or self.from_ms, to_ms or now_ms() + 1)
        try:
            go(run, events)
        finally:
            events.close()
            run.close()
        return run.sums

    def on_lane(self) -> dict[str, int]:
        """Notification id -> pass, of what is on the lane."""
        found = [decode(record.value, Delivery) for record in self.broker.records(LANE)]
        return {one.notification_id: one.pass_no for one in found}

    def taken(self, one: Delivery, pass_no: int) -> str:
        until_ms = now_ms() + 60_000
        claims = wiring.claims(self.service)
        return claims.take([(one.id, pass_no, one.notification_id)], owner="worker", until_ms=until_ms, alone=False)[
            0
        ].state


@pytest.fixture
def past(service: Settings, broker: KafkaBroker) -> Iterator[Past]:
    return Past(service, broker)  # type: ignore[return-value]


def test_only_what_has_no_end_and_is_nowhere_runs_as_its_next_pass(past: Past, service: Settings) -> None:
    lost, lost_low = past.accept("lost"), past.accept("lost-low", RAW_LOW_TOPIC)
    parked_once, forgotten = past.accept("parked-once"), past.accept("forgotten")
    past.accept("late", age_ms=HOUR_MS * 24 * 40)
    sent, untracked, parked = past.accept("sent"), past.accept("untracked"), past.accept("parked")
    on_lane, claimed = past.accept("on-lane"), past.accept("claimed")
    past.accept("no-channels", channels=["fax"])
    past.broker.put(RAW_TOPIC, b"{", key=USER, headers={"ce_id": b"broken"})
    past.broker.flush()
    past.routed()
    past.accept("on-raw")

    past.tell(parked_once, Status.PARKED, pass_no=4)
    wiring.claims(service).done([(forgotten.id, 0, "sent")])
    past.tell(sent, Status.SENT)
    past.tell(untracked, Status.SENT, is_tracked=False)
    row = Parked(delivery=parked, due_at_ms=now_ms() + HOUR_MS, reason=Reason.QUIET_HOURS)
    wiring.parked(service).park([row])
    past.broker.put(LANE, encode(on_lane), key=USER)
    past.broker.flush()
    assert past.taken(claimed, 0) == "taken"

    wanted = {Why.UNFINISHED: 4, Why.PAST_EXPIRY: 1, Why.FINAL: 2, Why.PARKED: 1, Why.ON_LANE: 1, Why.ON_RAW: 1}
    wanted |= {Why.UNDER_WAY: 1, Why.NO_CHANNELS: 1, Why.UNDECODABLE: 1}
    assert past.replay(is_dry=True) == wanted
    assert past.on_lane() == {"on-lane": 0}
    assert past.replay() == wanted
    assert past.on_lane() == {"on-lane": 0, "lost": 1, "lost-low": 1, "parked-once": 5, "forgotten": 1, "late": 1}
    told = [decode(record.value, Outcome) for record in past.broker.records(OUTCOMES_TOPIC)]
    replayed = {one.notification_id: one.pass_no for one in told if one.reason == Reason.REPLAYED}
    assert replayed == {"lost": 1, "lost-low": 1, "parked-once": 5, "forgotten": 1, "late": 1}
    assert [past.taken(one, 1) for one in (lost, lost_low, forgotten)] == ["taken"] * 3

    again = past.replay()
    assert again[Why.ON_LANE] == 6
    assert not any(again[why] for why in (Why.UNFINISHED, Why.PAST_EXPIRY))
    assert len(past.broker.records(LANE)) == 6


def test_of_an_event_only_the_deliveries_that_lack_an_end_run(past: Past) -> None:
    one = past.accept("two", channels=["log", "in_app"])
    past.routed()
    past.tell(one, Status.FAILED)
    assert past.replay() == {Why.UNFINISHED: 1, Why.FINAL: 1}
    assert past.on_lane() == {}
    [record] = past.broker.records("notifications.medium.in_app")
    assert decode(record.value, Delivery).notification_id == "two"


def test_the_range_is_by_the_records_time_and_each_event_counts_once(
    monkeypatch: pytest.MonkeyPatch, past: Past
) -> None:
    monkeypatch.setattr(source_module, "CHUNK", 2)
    past.accept("before")
    time.sleep(0.02)
    from_ms = now_ms()
    for name in ("a", "b", "b", "c", "d"):
        past.accept(name)
    time.sleep(0.02)
    to_ms = now_ms()
    past.accept("after")
    past.routed()
    counted = past.replay(from_ms=from_ms, to_ms=to_ms)
    assert past.on_lane() == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert counted.total() == 5
    assert counted[Why.UNFINISHED] == 4


def test_as_new_runs_all_with_new_ids_and_the_same_ones_under_the_same_name(past: Past) -> None:
    sent = past.accept("sent")
    past.accept("low", RAW_LOW_TOPIC)
    past.routed()
    past.tell(sent, Status.SENT)
    assert past.as_new("spring", is_dry=True) == 0
    to_ms = now_ms() + 1

    def ids(topic: str) -> list[str]:
        return [record.header("ce_id") for record in past.broker.records(topic) if record.timestamp_ms >= past.from_ms]

    assert past.as_new("spring") == 2
    assert (len(ids(RAW_TOPIC)), len(ids(RAW_LOW_TOPIC))) == (2, 2)
    new = set(ids(RAW_TOPIC) + ids(RAW_LOW_TOPIC)) - {"sent", "low"}
    assert len(new) == 2
    run = Replay(past.service, rate=None, is_dry=False, tell=lambda _: None)
    events = RawEvents(past.service, past.from_ms, to_ms)
    run.as_new(events, "spring")
    events.close()
    run.close()
    assert len(ids(RAW_TOPIC)) + len(ids(RAW_LOW_TOPIC)) == 6
    assert set(ids(RAW_TOPIC) + ids(RAW_LOW_TOPIC)) - {"sent", "low"} == new


def test_as_new_leaves_events_with_who_sent_them(past: Past) -> None:
    raw = raw_record(id="of a key", user_id=USER, key_id="0123456789ab", body=encode(event(user_id=USER)))
    past.broker.put(RAW_TOPIC, raw.body, key=USER, headers=headers_of(raw))
    past.broker.flush()
    assert past.as_new("spring") == 1
    assert [record.header("ce_keyid") for record in past.broker.records(RAW_TOPIC)] == ["0123456789ab"] * 2


def test_events_of_users_who_were_forgotten_since_run_neither_way(past: Past) -> None:
    past.accept("a")
    past.routed()
    wiring.forget_user(past.service).forget(USER)
    assert past.replay() == {Why.FORGOTTEN: 1}
    assert past.as_new("spring") == 0
    assert past.on_lane() == {}


def test_what_kafka_no_longer_keeps_is_told(past: Past) -> None:
    body = encode(event(user_id=USER, content="x" * 200_000))
    headers = headers_of(raw_record(id="big"))
    time.sleep(0.01)
    for _ in range(40):
        past.broker.put(RAW_TOPIC, body, headers=headers, partition=0)
    past.broker.flush()
    events = RawEvents(past.service, past.from_ms, now_ms() + 1)
    read = sum(len(chunk) for chunk in events.chunks())
    events.close()
    assert 0 < read < 40
    assert events.missing_until_ms > past.from_ms
