"""The dispatcher over a real broker and Redis: what it sends, what it commits, and what a new owner leaves out."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from app.domain.batch import Finished, RawBatch
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery
from app.domain.errors import StoreUnavailableError
from app.domain.lane import FINISHED_TOPIC, Lane, Priority
from app.settings import Settings
from bridges import dispatcher as dispatcher_module
from bridges.dispatch.gate import Gate
from bridges.dispatcher import Dispatcher
from infrastructure.kafka.groups import dispatcher_group
from infrastructure.redis.client import make_client
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually

LANE = Lane(Priority.MEDIUM, "log")
PARTITION = 1

Make = Callable[[], Dispatcher]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[RawBatch]:
    """The copies that were put on a queue, where no worker looks."""
    copies: list[RawBatch] = []
    monkeypatch.setattr(dispatcher_module, "send", copies.append)
    return copies


@pytest.fixture
def make(service: Settings, sent: list[RawBatch]) -> Iterator[Make]:
    """Makes dispatchers of the medium lanes that have their partitions."""
    del sent
    made: list[Dispatcher] = []

    def start() -> Dispatcher:
        one = Dispatcher(service, [Priority.MEDIUM])
        made.append(one)
        eventually(lambda: one.turn() or one.is_ready(), "a place in the group")
        return one

    yield start
    for one in made:
        with contextlib.suppress(RuntimeError):  # closed by its test
            one.close()


def on_lane(broker: KafkaBroker, *names: str) -> None:
    for name in names:
        broker.put(LANE.topic, encode(delivery(name)), partition=PARTITION)
    broker.flush()


def report(broker: KafkaBroker, copy: RawBatch, *still_open: int) -> None:
    """What `record` writes when the copy is through; these offsets came back open."""
    head = copy.head
    record = Finished(
        queue=head.queue,
        topic=head.topic,
        partition=head.partition,
        first=head.first,
        last=head.last,
        sent_at_ms=head.sent_at_ms,
        not_after_ms=head.not_after_ms,
        open=[(offset, "busy") for offset in still_open],
    )
    broker.put(FINISHED_TOPIC, encode(record), key=record.key)
    broker.flush()


def committed(broker: KafkaBroker) -> int:
    return broker.committed(dispatcher_group(Priority.MEDIUM), LANE.topic).get(PARTITION, 0)


def names(copy: RawBatch) -> list[str]:
    return [decode(bytes(item.delivery), Delivery).id for item in copy.items]


def turns(dispatcher: Dispatcher, until: Callable[[], object], what: str) -> None:
    eventually(lambda: dispatcher.turn() or until(), what)


def test_an_offset_follows_the_outcome(broker: KafkaBroker, make: Make, sent: list[RawBatch]) -> None:
    dispatcher = make()
    on_lane(broker, "a")
    turns(dispatcher, lambda: sent, "the first batch")
    on_lane(broker, "b", "c")
    for _ in range(100):
        dispatcher.turn()
    assert [names(copy) for copy in sent] == [["a"]], "one batch of a partition at a time"
    assert committed(broker) == 0
    report(broker, sent[0])
    turns(dispatcher, lambda: committed(broker) == 1, "the offset behind a")
    turns(dispatcher, lambda: len(sent) == 2, "the next batch is what came meanwhile")
    assert names(sent[1]) == ["b", "c"]


def test_what_came_back_open_is_sent_again_and_keeps_its_offset(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, make: Make, sent: list[RawBatch]
) -> None:
    monkeypatch.setattr(dispatcher_module, "_BACKOFF_BASE_MS", 50)
    monkeypatch.setattr(dispatcher_module, "_BACKOFF_CAP_MS", 50)
    on_lane(broker, "a", "b", "c")
    dispatcher = make()
    turns(dispatcher, lambda: sent and names(sent[0]) == ["a", "b", "c"], "all in one batch")
    report(broker, sent[0], 1)
    turns(dispatcher, lambda: len(sent) == 2, "the copy of what is open")
    assert names(sent[1]) == ["b"]
    assert sent[1].head.not_after_ms > sent[0].head.not_after_ms
    turns(dispatcher, lambda: committed(broker) == 1, "the offset of b")
    report(broker, sent[1])
    turns(dispatcher, lambda: committed(broker) == 3, "all is final")


def test_a_new_owner_leaves_out_what_finished_tells_of(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, make: Make, sent: list[RawBatch]
) -> None:
    """The one before died after the batch was through and before it committed. All is read before the first record."""
    on_lane(broker, "a", "b", "c", "d")
    first = make()
    turns(first, lambda: sent, "the first batch")
    assert names(sent[0]) == ["a", "b", "c", "d"]
    first.close()
    report(broker, sent[0], 2)
    assert committed(broker) == 0
    monkeypatch.setattr(Dispatcher, "_read_finished", lambda _: None)
    second = make()
    turns(second, lambda: len(sent) == 2, "what was open")
    assert names(sent[1]) == ["c"]
    turns(second, lambda: committed(broker) == 2, "the offset behind what is finished before it")


def test_a_partition_is_read_on_when_what_was_buffered_of_it_has_finished_elsewhere(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, make: Make, sent: list[RawBatch]
) -> None:
    """Nothing is cut of it then, and it was paused when its next batch was there."""
    shut = [True]
    monkeypatch.setattr(Gate, "may_send", lambda *_: not shut[0])
    monkeypatch.setattr(Dispatcher, "_is_full", lambda _, state: state.buffered >= 2)
    on_lane(broker, "a", "b")
    dispatcher = make()
    turns(dispatcher, lambda: (LANE.topic, PARTITION) in dispatcher._readers[Priority.MEDIUM]._paused, "a full buffer")
    earlier = Finished(
        queue=LANE.queue, topic=LANE.topic, partition=PARTITION, first=0, last=1, sent_at_ms=1, not_after_ms=2
    )
    broker.put(FINISHED_TOPIC, encode(earlier), key=earlier.key)
    broker.flush()
    turns(dispatcher, lambda: committed(broker) == 2, "what an earlier owner finished")
    shut[0] = False
    on_lane(broker, "c")
    turns(dispatcher, lambda: sent, "what came later")
    assert names(sent[0]) == ["c"]


def test_a_batch_that_the_broker_did_not_take_is_sent_later(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, make: Make, sent: list[RawBatch]
) -> None:
    away = [True]

    def send(copy: RawBatch) -> None:
        if away[0]:
            away[0] = False
            raise StoreUnavailableError("Celery's broker: gone")
        sent.append(copy)

    monkeypatch.setattr(dispatcher_module, "send", send)
    monkeypatch.setattr(dispatcher_module, "_BACKOFF_BASE_MS", 50)
    on_lane(broker, "a")
    dispatcher = make()
    turns(dispatcher, lambda: sent, "the second try")
    assert names(sent[0]) == ["a"]
    assert not away[0]


def test_a_broker_that_did_not_take_a_batch_is_not_asked_once_more_for_each_partition(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, make: Make
) -> None:
    """Each may take as long as a time-out, and nothing is read meanwhile, of high either."""
    asked: list[float] = []

    def send(copy: RawBatch) -> None:
        del copy
        asked.append(time.monotonic())
        raise StoreUnavailableError("Celery's broker: TimeoutError")

    monkeypatch.setattr(dispatcher_module, "send", send)
    monkeypatch.setattr(dispatcher_module, "_BACKOFF_BASE_MS", 400)
    for partition in range(3):
        broker.put(LANE.topic, encode(delivery(f"n-{partition}")), partition=partition)
    broker.flush()
    dispatcher = make()
    turns(dispatcher, lambda: len(asked) >= 4, "four tries")
    assert all(later - earlier > 0.35 for earlier, later in itertools.pairwise(asked))


# places of a channel


@pytest.fixture
def email(monkeypatch: pytest.MonkeyPatch) -> Lane:
    """The tests go on on a lane that calls a network."""
    lane = Lane(Priority.MEDIUM, "email")
    monkeypatch.setattr(__name__ + ".LANE", lane)
    return lane


def places(service: Settings) -> dict[str, str]:
    """The leases of email in Redis."""
    client = make_client(service.redis_url, 1.0)
    try:
        return cast("dict[str, str]", client.hgetall("out:email"))
    finally:
        client.close()


def test_a_batch_has_its_place_until_it_is_through(
    service: Settings, broker: KafkaBroker, make: Make, sent: list[RawBatch], email: Lane
) -> None:
    dispatcher = make()
    on_lane(broker, "a")
    turns(dispatcher, lambda: sent, "the batch")
    assert list(places(service)) == [f"medium|{email.topic}|{PARTITION}"]
    report(broker, sent[0])
    turns(dispatcher, lambda: not places(service), "the place given back")


@pytest.mark.parametrize("is_early", [True, False], ids=["before it starts", "later"])
def test_a_new_owner_gives_back_the_place_of_a_batch_that_it_did_not_send(
    service: Settings, broker: KafkaBroker, make: Make, sent: list[RawBatch], email: Lane, is_early: bool
) -> None:
    """Else the channel would lack it until the batch's time is over."""
    on_lane(broker, "a")
    first = make()
    turns(first, lambda: sent, "the first batch")
    first.close()
    assert places(service)
    if is_early:
        report(broker, sent[0])
    second = make()
    if not is_early:
        turns(second, lambda: len(sent) == 2, "the copy of the new owner")
        report(broker, sent[1])
    turns(second, lambda: not places(service), "the place given back")


def test_a_batch_that_the_limits_do_not_let_go_keeps_no_place(
    monkeypatch: pytest.MonkeyPatch,
    service: Settings,
    broker: KafkaBroker,
    make: Make,
    sent: list[RawBatch],
    email: Lane,
) -> None:
    asked: list[int] = []

    def allowance(_gate: Gate, _lane: Lane, wanted: int) -> int:
        asked.append(wanted)
        return 0

    monkeypatch.setattr(Gate, "allowance", allowance)
    dispatcher = make()
    on_lane(broker, "a")
    turns(dispatcher, lambda: asked, "the limits asked")
    assert places(service) == {}
    assert sent == []
