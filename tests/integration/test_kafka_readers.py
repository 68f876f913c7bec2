"""GroupReader, TailReader, LeftoverReader: what is read, from where, and what is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from infrastructure.kafka import reader as reader_module
from infrastructure.kafka.fetched import records_of
from infrastructure.kafka.range_reader import RangeReader
from infrastructure.kafka.reader import GroupReader, LeftoverReader, Partition, TailReader
from infrastructure.kafka.records import Record
from tests.support.kafka_broker import PARTITIONS, KafkaBroker, RealKafka, eventually

Join = Callable[..., GroupReader]

LONG_S = 60.0


@pytest.fixture(params=["mock", "real", "real, classic"])
def broker(request: pytest.FixtureRequest) -> Iterator[KafkaBroker]:
    """The same suite on the embedded broker, and on the real one by both protocols of groups."""
    if request.param == "mock":
        made = KafkaBroker()
    else:
        made = RealKafka(request.getfixturevalue("services").kafka)
        made.environ = {**made.environ, "NOTIFY_KAFKA_GROUP_PROTOCOL": request.param.partition(", ")[2] or "auto"}
    yield made
    made.stop()


@pytest.fixture
def service(broker: KafkaBroker) -> Settings:
    return Settings.load({**broker.environ, "NOTIFY_KAFKA_BOOTSTRAP": broker.address})


@pytest.fixture
def join(service: Settings, broker: KafkaBroker) -> Iterator[Join]:
    """A member of the group; all leave at the end."""
    members: list[GroupReader] = []

    def make(**given: object) -> GroupReader:
        members.append(GroupReader(service, broker.group, [broker.raw], **given))  # type: ignore[arg-type]
        return members[-1]

    yield make
    for member in members:
        member.close()


def put(broker: KafkaBroker, *places: tuple[int, str], topic: str = "") -> None:
    """Records, each in a partition; of raw unless it is said."""
    for partition, value in places:
        broker.put(topic or broker.raw, value.encode(), partition=partition)
    broker.flush()


def all_of(broker: KafkaBroker) -> set[Partition]:
    return {(broker.raw, number) for number in range(PARTITIONS)}


def share(broker: KafkaBroker, first: GroupReader, second: GroupReader) -> None:
    """Until each has partitions, and together all of them."""

    def is_shared() -> bool:
        first.read(1, 0.01)
        second.read(1, 0.01)
        return bool(second.assigned) and first.assigned | second.assigned == all_of(broker)

    eventually(is_shared, "a share for each")


def collect(reader: GroupReader, count: int, limit: int = 500) -> list[Record]:
    found: list[Record] = []

    def look() -> bool:
        found.extend(reader.read(limit, 0.02))
        return len(found) >= count

    eventually(look, f"{count} records; there were {len(found)}")
    return found


def values(records: list[Record]) -> list[str]:
    return [record.value.decode() for record in records]


def quiet(reader: GroupReader) -> list[Record]:
    """What comes in a moment in which nothing should."""
    return [record for _ in range(10) for record in reader.read(500, 0.01)]


# a member of a group


def test_a_member_reads_all_partitions_from_their_beginning(broker: KafkaBroker, join: Join) -> None:
    put(broker, *((number % PARTITIONS, str(number)) for number in range(40)))
    reader = join()
    found = collect(reader, 40)
    assert reader.assigned == all_of(broker)
    assert sorted(map(int, values(found))) == list(range(40))
    for number in range(PARTITIONS):
        offsets = [record.offset for record in found if record.partition == number]
        assert offsets == sorted(offsets)


def test_a_read_takes_no_more_than_its_limit(broker: KafkaBroker, join: Join) -> None:
    put(broker, *((0, str(number)) for number in range(30)))
    reader = join()
    eventually(lambda: reader.assigned or reader.read(1, 0.02), "assignment")
    sizes = []
    while sum(sizes) < 29:
        sizes.append(len(reader.read(7, 0.2)))
    assert max(sizes) <= 7


def test_nothing_is_committed_unless_told(broker: KafkaBroker, join: Join) -> None:
    put(broker, (0, "a"), (1, "b"))
    first = join()
    collect(first, 2)
    first.close()
    assert broker.committed(broker.group, broker.raw) == {}
    assert sorted(values(collect(join(), 2))) == ["a", "b"]


def test_a_commit_is_where_the_next_member_starts(broker: KafkaBroker, join: Join) -> None:
    put(broker, (0, "a"), (0, "b"), (1, "c"))
    first = join()
    collect(first, 3)
    first.commit({(broker.raw, 0): 1})
    assert broker.committed(broker.group, broker.raw) == {0: 1}
    first.close()
    assert sorted(values(collect(join(), 2))) == ["b", "c"]


def test_a_commit_without_waiting_arrives(broker: KafkaBroker, join: Join) -> None:
    put(broker, (2, "a"))
    reader = join()
    collect(reader, 1)
    reader.commit_soon({(broker.raw, 2): 1})
    eventually(lambda: broker.committed(broker.group, broker.raw) == {2: 1}, "the commit")


def test_committing_nothing_is_no_error(join: Join) -> None:
    reader = join()
    reader.commit({})
    reader.commit_soon({})


def refusing(**_given: object) -> None:
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def test_a_commit_that_is_not_taken_is_unavailable_and_goes_with_the_next(
    monkeypatch: pytest.MonkeyPatch, broker: KafkaBroker, join: Join
) -> None:
    """A broker that is gone is told by the client only when the session has ended: 45 s here."""
    put(broker, (0, "a"), (1, "b"))
    reader = join()
    collect(reader, 2)
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_consumer", SimpleNamespace(commit=refusing))
        with pytest.raises(StoreUnavailableError, match="_TIMED_OUT"):
            reader.commit({(broker.raw, 0): 1})
        reader.commit_soon({(broker.raw, 1): 1})
    assert broker.committed(broker.group, broker.raw) == {}
    reader.commit({})
    assert broker.committed(broker.group, broker.raw) == {0: 1, 1: 1}


def test_a_commit_without_waiting_that_is_not_taken_goes_with_the_next(broker: KafkaBroker, join: Join) -> None:
    put(broker, (0, "a"))
    reader = join()
    collect(reader, 1)
    part = TopicPartition(broker.raw, 0, 1)
    assert reader._commits.take({(broker.raw, 0): 1})
    reader._commits.told(KafkaError(KafkaError.NOT_COORDINATOR), [part])
    reader.commit({})
    assert broker.committed(broker.group, broker.raw) == {0: 1}


def test_nothing_is_committed_for_a_partition_of_somebody_else(broker: KafkaBroker, join: Join) -> None:
    put(broker, (0, "a"))
    reader = join()
    collect(reader, 1)
    reader.commit({(broker.raw, 99): 7})
    first = reader.assigned.copy()
    reader._revoke(SimpleNamespace(), [TopicPartition(*part) for part in first])  # type: ignore[arg-type]
    reader.commit({(broker.raw, 0): 1})
    assert broker.committed(broker.group, broker.raw) == {}


def test_a_paused_partition_is_left_alone_until_it_is_resumed(broker: KafkaBroker, join: Join) -> None:
    put(broker, (0, "a"), (1, "b"))
    reader = join()
    collect(reader, 2)
    reader.pause([(broker.raw, 0)])
    put(broker, (0, "c"), (1, "d"))
    assert values(collect(reader, 1)) == ["d"]
    assert quiet(reader) == []
    reader.pause([(broker.raw, 0)])  # repeating is harmless
    reader.resume([(broker.raw, 0), (broker.raw, 3), (broker.raw, 99)])
    assert values(collect(reader, 1)) == ["c"]


def test_what_was_buffered_when_it_paused_comes_after_resuming_and_once(broker: KafkaBroker, join: Join) -> None:
    put(broker, *((0, str(number)) for number in range(50)))
    reader = join()
    found = collect(reader, 1, limit=1)
    reader.pause([(broker.raw, 0)])
    assert quiet(reader) == []
    reader.resume([(broker.raw, 0)])
    found += collect(reader, 49)
    assert values(found) == [str(number) for number in range(50)]


def test_the_backlog_is_what_lies_behind_what_was_read(broker: KafkaBroker, join: Join) -> None:
    put(broker, *((0, str(number)) for number in range(50)))
    reader = join()
    found = collect(reader, 10, limit=10)
    assert reader.backlog(sorted(reader.assigned)) == 50 - len(found)
    collect(reader, 50 - len(found))
    assert reader.backlog(sorted(reader.assigned)) == 0
    assert reader.backlog([]) == 0


def test_the_number_of_partitions_is_known_with_the_assignment(join: Join, broker: KafkaBroker) -> None:
    reader = join(on_assigned=lambda committed: committed)
    assert reader.partition_count(broker.raw) == 0
    eventually(lambda: reader.read(1, 0.02) or reader.assigned, "assignment")
    assert reader.partition_count(broker.raw) == PARTITIONS
    assert reader.partition_count("nowhere") == 0


def test_the_owner_says_where_each_partition_starts(broker: KafkaBroker, join: Join) -> None:
    put(broker, *((number % PARTITIONS, f"{number % PARTITIONS}-{number // PARTITIONS}") for number in range(16)))
    broker.commit(broker.group, broker.raw, {0: 1, 1: 1})
    asked: dict[Partition, int] = {}

    def start(committed: Mapping[Partition, int]) -> dict[Partition, int]:
        asked.update(committed)
        return {(broker.raw, 1): 3, (broker.raw, 2): 2, (broker.raw, 3): -1}

    found = collect(join(on_assigned=start), 3 + 1 + 2 + 4)
    assert asked == {(broker.raw, 0): 1, (broker.raw, 1): 1, (broker.raw, 2): -1, (broker.raw, 3): -1}
    assert sorted(values(found)) == ["0-1", "0-2", "0-3", "1-3", "2-2", "2-3", "3-0", "3-1", "3-2", "3-3"]


def test_a_member_that_cannot_find_its_start_for_long_ends(monkeypatch: pytest.MonkeyPatch, join: Join) -> None:
    def fail(_committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        raise StoreUnavailableError("the tail could not be read")

    monkeypatch.setattr(reader_module, "_TAKE_OVER_S", 0.1)
    reader = join(on_assigned=fail)
    with pytest.raises(RuntimeError, match="could not be taken over: the tail"):
        eventually(lambda: reader.read(1, 0.02), "the failure")


def test_a_start_that_cannot_be_found_at_once_is_asked_for_again(broker: KafkaBroker, join: Join) -> None:
    put(broker, *((0, str(number)) for number in range(5)))
    asked: list[Mapping[Partition, int]] = []

    def start(committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        asked.append(committed)
        if len(asked) == 1:
            raise StoreUnavailableError("a leader is being elected")
        return {(broker.raw, 0): 2}

    assert values(collect(join(on_assigned=start), 3)) == ["2", "3", "4"]
    assert len(asked) == 2


def test_what_was_read_before_its_partition_went_is_not_handed_out(broker: KafkaBroker, join: Join) -> None:
    """It may have come back meanwhile, from an earlier offset on: what lies between would be taken for read."""
    put(broker, *((0, str(number)) for number in range(5)))
    reader = join()
    eventually(lambda: reader.read(1, 0.02), "the first record")
    real, part = reader._consumer, [TopicPartition(broker.raw, 0)]

    def consume(*_given: object) -> list[Message]:
        reader._revoke(real, part)
        return []

    reader._consumer = SimpleNamespace(poll=real.poll, consume=consume)  # type: ignore[assignment]
    assert reader.read(500, 1.0) == []
    reader._consumer = real


def test_a_second_member_takes_its_share_and_the_first_is_told(broker: KafkaBroker, join: Join) -> None:
    revoked: list[Partition] = []
    first = join(on_revoked=revoked.extend)
    eventually(lambda: first.read(1, 0.02) or first.assigned == all_of(broker), "all partitions for the only member")
    first.pause(sorted(all_of(broker)))
    second = join()
    share(broker, first, second)
    assert first.assigned & second.assigned == set()
    assert set(revoked) == second.assigned
    first.resume(sorted(all_of(broker)))
    put(broker, *((number, str(number)) for number in range(PARTITIONS)))
    own = collect(first, len(first.assigned))
    theirs = collect(second, len(second.assigned))
    assert {(broker.raw, record.partition) for record in own} == first.assigned
    assert {(broker.raw, record.partition) for record in theirs} == second.assigned


def test_the_partitions_of_a_member_that_leaves_go_to_the_other(broker: KafkaBroker, join: Join) -> None:
    first = join()
    eventually(lambda: first.read(1, 0.02) or first.assigned == all_of(broker), "all partitions")
    first.close()
    assert first.assigned == set()
    put(broker, (0, "a"))
    assert values(collect(join(), 1)) == ["a"]


def test_a_partition_that_went_while_it_was_paused_is_read_when_it_comes_back(broker: KafkaBroker, join: Join) -> None:
    """As while a store is away: a reader that keeps its place pauses, and the group may go round just then."""
    first = join()
    eventually(lambda: first.read(1, 0.02) or first.assigned == all_of(broker), "all partitions for the only member")
    first.pause(sorted(all_of(broker)))
    second = join()
    share(broker, first, second)
    first.resume(sorted(first.assigned))
    second.close()
    eventually(lambda: first.read(1, 0.02) or first.assigned == all_of(broker), "all partitions again")
    put(broker, *((number, str(number)) for number in range(PARTITIONS)))
    assert {record.partition for record in collect(first, PARTITIONS)} == set(range(PARTITIONS))


def test_what_comes_first_from_a_partition_that_went_and_came_back_is_read(broker: KafkaBroker, join: Join) -> None:
    """All within one call, as where a member is put out of its group and back while Kafka is hardly reached."""
    first = join()
    eventually(lambda: first.read(1, 0.02) or first.assigned == all_of(broker), "all partitions for the only member")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(first.read, 10, LONG_S)
        second = join()
        eventually(lambda: second.read(1, 0.02) or second.assigned, "some for the other")
        eventually(lambda: second.read(1, 0.02) or first.assigned | second.assigned == all_of(broker), "all are had")
        _, partition = min(second.assigned)
        second.close()
        eventually(lambda: first.assigned == all_of(broker), "all partitions again")
        put(broker, (partition, "here"))
        assert values(reading.result()) == ["here"]


def test_a_member_keeps_its_place_without_reading_on(broker: KafkaBroker, join: Join) -> None:
    put(broker, *((0, str(number)) for number in range(20)))
    reader = join()
    found = collect(reader, 5, limit=5)
    for _ in range(5):
        found += reader.keep_place()
    assert values(found + collect(reader, 20 - len(found))) == [str(number) for number in range(20)]


class GivenUp:
    """What a client hands out that gave up: the code says so, `fatal` does not."""

    def __init__(self, code: int, *, is_fatal: bool) -> None:
        self._error = KafkaError(code, "ConsumerGroupHeartbeat fatal error", is_fatal)

    def error(self) -> KafkaError:
        return self._error

    def topic(self) -> None:
        return None

    def partition(self) -> None:
        return None


@pytest.mark.parametrize(
    "message",
    [GivenUp(KafkaError._FATAL, is_fatal=False), GivenUp(KafkaError._FENCED, is_fatal=True)],
    ids=["by its code", "by its flag"],
)
def test_the_client_giving_up_ends_the_process(message: GivenUp) -> None:
    with pytest.raises(RuntimeError, match="gave up: ConsumerGroupHeartbeat fatal error"):
        records_of([message])  # type: ignore[list-item]


# the tail


def test_the_tail_is_read_whole_from_its_beginning(service: Settings, broker: KafkaBroker) -> None:
    put(broker, *((number % PARTITIONS, str(number)) for number in range(100)), topic=broker.finished)
    found: list[Record] = []
    tail = TailReader(service, broker.finished)
    tail.read_to_end(found.append, 10)
    assert sorted(map(int, values(found))) == list(range(100))
    tail.read_to_end(found.append, 0.0)
    assert len(found) == 100, "once only"
    put(broker, (3, "news"), topic=broker.finished)
    tail.read_to_end(found.append, 10)
    assert values(found[100:]) == ["news"]
    tail.close()


def test_an_empty_tail_ends_at_once(service: Settings, broker: KafkaBroker) -> None:
    tail = TailReader(service, broker.finished)
    tail.read_to_end(lambda _record: None, 0.0)
    assert tail.read() == []
    tail.close()


def test_a_tail_that_takes_too_long_is_unavailable(service: Settings, broker: KafkaBroker) -> None:
    put(broker, (0, "a"), topic=broker.finished)
    tail = TailReader(service, broker.finished)
    with pytest.raises(StoreUnavailableError, match="to its end"):
        tail.read_to_end(lambda _record: None, -1.0)
    tail.close()


@pytest.mark.parametrize("broker", ["mock"], indirect=True)  # the real one is everybody's
def test_a_broker_that_is_gone_is_unavailable_to_every_reader(
    monkeypatch: pytest.MonkeyPatch, service: Settings, broker: KafkaBroker
) -> None:
    monkeypatch.setattr(reader_module, "_CALL_TIMEOUT_S", 0.1)
    tail = TailReader(service, broker.finished)
    leftovers = LeftoverReader(service, broker.group)
    broker.stop()
    with pytest.raises(StoreUnavailableError):
        tail.ends()
    with pytest.raises(StoreUnavailableError):
        TailReader(service, broker.finished)
    with pytest.raises(StoreUnavailableError):
        leftovers.read_all([broker.raw], lambda _, committed: committed, 0.1)
    tail.close()
    leftovers.close()


# what is left


def test_what_is_left_is_what_the_group_has_not_committed(service: Settings, broker: KafkaBroker) -> None:
    put(broker, (0, "a"), (0, "b"), (1, "c"), (2, "d"))
    put(broker, (0, "low"), topic=broker.raw_low)
    broker.commit(broker.group, broker.raw, {0: 1, 1: 1})
    reader = LeftoverReader(service, broker.group)
    found = reader.read_all([broker.raw, broker.raw_low], lambda _, committed: committed, 10)
    assert sorted(values(found)) == ["b", "d", "low"]
    assert sorted(values(reader.read_all([broker.raw], lambda _, committed: committed, 10))) == ["b", "d"]
    reader.close()
    assert broker.committed(broker.group, broker.raw) == {0: 1, 1: 1}


def test_the_caller_may_start_further_on(service: Settings, broker: KafkaBroker) -> None:
    put(broker, *((0, str(number)) for number in range(5)), (1, "x"))
    asked: dict[Partition, int] = {}

    def start(partition: Partition, committed: int) -> int:
        asked[partition] = committed
        return 3 if partition == (broker.raw, 0) else 9

    reader = LeftoverReader(service, broker.group)
    assert values(reader.read_all([broker.raw], start, 10)) == ["3", "4"]
    assert asked == dict.fromkeys(all_of(broker), -1)
    reader.close()


def test_topics_that_are_empty_or_not_there_leave_nothing(service: Settings, broker: KafkaBroker) -> None:
    reader = LeftoverReader(service, broker.group)
    assert reader.read_all([broker.outcomes, "nowhere"], lambda _, committed: committed, 1.0) == []
    assert reader.read_all([], lambda _, committed: committed, 1.0) == []
    reader.close()


# a time


@pytest.mark.parametrize("broker", ["real"], indirect=True)  # the mock finds no offsets by time
def test_records_of_a_time_are_found(service: Settings, broker: KafkaBroker) -> None:
    times = [now_ms()]
    for value in ("a", "b", "c"):
        put(broker, (0, value), (1, value))
        time.sleep(0.05)
        times.append(now_ms())
        time.sleep(0.05)
    reader = RangeReader(service)

    def within(start: int, end: int) -> list[str]:
        ranges = reader.within(broker.raw, times[start], times[end])
        return sorted(values([record for records in reader.read(ranges) for record in records]))

    assert within(0, 3) == ["a", "a", "b", "b", "c", "c"]
    assert within(1, 2) == ["b", "b"]
    assert within(2, 3) == ["c", "c"]
    assert within(3, 3) == []
    reader.close()


def test_uncommitted_ranges_end_where_the_topic_ends_now(service: Settings, broker: KafkaBroker) -> None:
    put(broker, (0, "a"), (0, "b"), (3, "c"))
    broker.commit(broker.group, broker.raw, {0: 1})
    reader = RangeReader(service)
    ranges = reader.uncommitted(broker.group, [broker.raw])
    assert ranges == {(broker.raw, 0): (1, 2), (broker.raw, 3): (0, 1)}
    put(broker, (0, "later"))
    assert sorted(values([record for records in reader.read(ranges) for record in records])) == ["b", "c"]
    reader.close()
