"""Topics on the real Kafka: made, grown, set and looked at, under names of this test alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from app.domain.errors import StoreUnavailableError
from app.domain.lane import FINISHED_TOPIC, RAW_TOPIC
from app.domain.topics import Found, TopicPlan, planned_topics
from app.settings import Settings
from infrastructure.kafka.topics import Did, Step, Topics
from infrastructure.kafka.writer import RecordWriter
from tests.support.kafka_broker import eventually
from tests.support.services import RealServices

WEEK_S = 7 * 86_400.0


@pytest.fixture
def settings(services: RealServices) -> Settings:
    return Settings.load(
        {
            "NOTIFY_PROFILE": "real",
            "NOTIFY_SECRET_KEY": "0f" * 32,
            "NOTIFY_DATABASE_URL": "sqlite:///unused.db",
            "NOTIFY_HISTORY_URL": "sqlite:///unused.db",
            "NOTIFY_KAFKA_BOOTSTRAP": services.kafka,
        }
    )


@pytest.fixture
def topics(settings: Settings) -> Topics:
    return Topics(settings)


@pytest.fixture
def plans(topics: Topics) -> Iterator[list[TopicPlan]]:
    """Plans of raw and finished, under names of their own."""
    mark = uuid.uuid4().hex[:8]
    wanted = [plan for plan in planned_topics(2, 3, WEEK_S) if plan.name in {RAW_TOPIC, FINISHED_TOPIC}]
    named = [msgspec.structs.replace(plan, name=f"test-{mark}-{plan.name}") for plan in wanted]
    yield named
    topics.remove(list(topics.find([plan.name for plan in named])))


def did(steps: list[Step]) -> list[Did]:
    return [step.did for step in steps]


def test_what_is_missing_is_made_as_planned_and_once(topics: Topics, plans: list[TopicPlan]) -> None:
    assert did(topics.make(plans)) == [Did.MADE, Did.MADE]
    found = topics.find([plan.name for plan in plans])
    for plan in plans:
        there = found[plan.name]
        assert (there.partitions, there.replication) == (2, 3)
        assert {name: there.configs[name] for name in plan.configs} == plan.configs
    assert did(topics.make(plans)) == [Did.KEPT, Did.KEPT]


def test_a_topic_that_somebody_else_makes_meanwhile_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, topics: Topics, plans: list[TopicPlan]
) -> None:
    late = Topics(settings)
    real, asked = late.find, []

    def find(names: Sequence[str]) -> dict[str, Found]:
        asked.append(names)
        return real(names) if len(asked) > 1 else {}

    monkeypatch.setattr(late, "find", find)
    topics.make(plans)
    assert did(late.make(plans)) == [Did.KEPT, Did.KEPT]


def test_partitions_are_added_and_configurations_set(topics: Topics, plans: list[TopicPlan]) -> None:
    raw = plans[0]
    topics.make([raw])
    longer = msgspec.structs.replace(raw, partitions=5, configs={**raw.configs, "retention.ms": "999999999"})
    steps = topics.make([longer])
    assert [(step.did, step.detail) for step in steps] == [
        (Did.GREW, "from 2 to 5 partitions"),
        (Did.CHANGED, "retention.ms=999999999"),
    ]

    def is_seen() -> bool:
        found = topics.find([raw.name])[raw.name]
        return (found.partitions, found.configs["retention.ms"]) == (5, "999999999")

    eventually(is_seen, "every broker tells of it")


def test_what_cannot_be_done_is_told_and_not_done(topics: Topics, plans: list[TopicPlan]) -> None:
    raw, finished = plans
    two_copies = {**raw.configs, "min.insync.replicas": "1"}
    topics.make([msgspec.structs.replace(raw, replication=2, configs=two_copies), finished])
    steps = topics.make([msgspec.structs.replace(raw, partitions=1), msgspec.structs.replace(finished, partitions=4)])
    assert did(steps) == [Did.LEFT, Did.LEFT, Did.LEFT]
    assert "2 partitions, planned 1" in steps[0].detail
    assert "replication 2, planned 3" in steps[1].detail
    assert "2 partitions, planned 4" in steps[2].detail


def test_what_kafka_refuses_is_told_in_its_words(topics: Topics, plans: list[TopicPlan]) -> None:
    [step] = topics.make([msgspec.structs.replace(plans[0], replication=9)])
    assert step.did is Did.REFUSED
    assert step.detail.startswith("INVALID_REPLICATION_FACTOR: ")
    assert topics.find([plans[0].name]) == {}


def test_records_are_counted(settings: Settings, topics: Topics, plans: list[TopicPlan]) -> None:
    topics.make(plans)
    writer = RecordWriter(settings, timeout_s=10)
    writer.wait([writer.write(plans[0].name, str(number), b"x") for number in range(7)], 10)
    writer.close()

    def counts() -> list[int]:
        found = topics.find([plan.name for plan in plans], with_records=True)
        return [found[plan.name].records for plan in plans]

    eventually(lambda: counts() == [7, 0], "the records are counted")


def test_brokers_tell_how_long_they_keep_offsets(topics: Topics) -> None:
    brokers = topics.brokers()
    assert list(brokers) == ["broker 1", "broker 2", "broker 3"]
    assert {configs["offsets.retention.minutes"] for configs in brokers.values()} == {"20160"}


def test_a_kafka_that_is_away_is_unavailable(settings: Settings) -> None:
    away = Topics(changed(settings, kafka_bootstrap="127.0.0.1:1"), timeout_s=0.5)
    for ask in (away.brokers, lambda: away.find([RAW_TOPIC])):
        with pytest.raises(StoreUnavailableError):
            ask()


def changed(settings: Settings, **given: str) -> Settings:
    return Settings.load(settings.as_environ() | {f"NOTIFY_{name.upper()}": value for name, value in given.items()})
