"""Topics: how they are planned, what changes, and what falls short of the promise."""

from __future__ import annotations

import msgspec
import pytest

from app.domain.errors import ConfigError
from app.domain.lane import ALL_TOPICS, DEAD_TOPIC, FINISHED_TOPIC, LANES, OUTCOMES_TOPIC, RAW_TOPIC
from app.domain.topics import Found, TopicPlan, changed_configs, check_retention, planned_topics, shortcomings

DAY_S = 86_400
TTL_S = 7 * DAY_S
LANE = LANES[0].topic
OFFSETS = "offsets.retention.minutes"
BROKER = {"broker 1": {OFFSETS: str(14 * 24 * 60)}}


def planned(replication: int = 3, retention_s: float = 14 * DAY_S) -> dict[str, TopicPlan]:
    return {plan.name: plan for plan in planned_topics(6, replication, retention_s)}


def as_planned(plan: TopicPlan, **configs: str) -> Found:
    found = dict(plan.configs) | configs
    return Found(name=plan.name, partitions=plan.partitions, replication=plan.replication, configs=found)


def short(name: str, found: Found | None) -> list[tuple[str, str, str]]:
    """(setting, found, wanted) where this topic alone is not as planned."""
    plans = planned()
    there = {one: as_planned(plan) for one, plan in plans.items() if one != name}
    if found is not None:
        there[name] = found
    told = shortcomings(list(plans.values()), there, BROKER, TTL_S)
    assert {one.where for one in told} <= {name}
    return [(one.setting, one.found, one.wanted) for one in told]


def test_every_topic_is_planned() -> None:
    assert set(planned()) == set(ALL_TOPICS)


def test_what_scales_has_all_partitions_and_what_is_read_by_everybody_few() -> None:
    assert {name: plan.partitions for name, plan in planned().items() if plan.partitions != 6} == {
        FINISHED_TOPIC: 3,
        DEAD_TOPIC: 3,
    }
    assert {plan.partitions for plan in planned_topics(2, 3, DAY_S)} == {2}


def test_finished_keeps_the_newest_of_each_key_in_small_segments_and_all_others_a_time() -> None:
    for name, plan in planned().items():
        if name == FINISHED_TOPIC:
            assert plan.configs["cleanup.policy"] == "compact"
            assert int(plan.configs["segment.bytes"]) < 16 * 1024 * 1024
            assert not plan.may_grow
        else:
            assert plan.configs["cleanup.policy"] == "delete"
            assert plan.configs["retention.ms"] == str(14 * DAY_S * 1000)
            assert plan.configs["retention.bytes"] == "-1"
        assert int(plan.configs["max.message.bytes"]) >= 1_000_000


@pytest.mark.parametrize(("replication", "insync"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_one_broker_may_be_away_where_there_are_three_copies(replication: int, insync: str) -> None:
    assert {plan.configs["min.insync.replicas"] for plan in planned(replication).values()} == {insync}


def test_only_what_differs_is_changed() -> None:
    plan = planned()[RAW_TOPIC]
    assert changed_configs(plan, as_planned(plan)) == {}
    assert changed_configs(plan, as_planned(plan, **{"retention.ms": "1"})) == {"retention.ms": str(14 * DAY_S * 1000)}


def test_a_topic_of_fewer_copies_is_not_made_unwritable() -> None:
    plan = planned()[RAW_TOPIC]
    found = msgspec.structs.replace(as_planned(plan, **{"min.insync.replicas": "1"}), replication=1)
    assert changed_configs(plan, found) == {}


def test_nothing_falls_short_of_the_plan_itself() -> None:
    assert short(RAW_TOPIC, as_planned(planned()[RAW_TOPIC])) == []


def test_more_than_planned_does_not_fall_short() -> None:
    found = as_planned(planned()[LANE], **{"retention.ms": "-1", "max.message.bytes": "5000000"})
    assert short(LANE, msgspec.structs.replace(found, partitions=12, replication=5)) == []


def test_a_missing_topic_falls_short() -> None:
    assert short(OUTCOMES_TOPIC, None) == [("topic", "missing", "there")]


@pytest.mark.parametrize("name", [RAW_TOPIC, LANE, OUTCOMES_TOPIC])
def test_what_is_lost_work_where_it_vanishes_is_kept_twice_the_longest_ttl(name: str) -> None:
    too_short = str(14 * DAY_S * 1000 - 1)
    told = short(name, as_planned(planned()[name], **{"retention.ms": too_short}))
    assert told == [("retention.ms", too_short, "at least 1209600000, 2 x the longest ttl")]


def test_dead_letters_may_be_kept_shorter() -> None:
    assert short(DEAD_TOPIC, as_planned(planned()[DEAD_TOPIC], **{"retention.ms": "1"})) == []


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        (FINISHED_TOPIC, "cleanup.policy", "delete"),
        (RAW_TOPIC, "cleanup.policy", "compact"),
        (RAW_TOPIC, "retention.bytes", "1000000"),
        (RAW_TOPIC, "min.insync.replicas", "1"),
        (RAW_TOPIC, "min.insync.replicas", "3"),
        (RAW_TOPIC, "max.message.bytes", "1000"),
        (RAW_TOPIC, "unclean.leader.election.enable", "true"),
    ],
)
def test_each_setting_that_falls_short_is_named(name: str, setting: str, value: str) -> None:
    [(told, found, _)] = short(name, as_planned(planned()[name], **{setting: value}))
    assert (told, found) == (setting, value)


def test_fewer_partitions_and_copies_fall_short() -> None:
    found = msgspec.structs.replace(as_planned(planned()[RAW_TOPIC]), partitions=5, replication=2)
    assert [one[:2] for one in short(RAW_TOPIC, found)] == [
        ("partitions", "5"),
        ("replication", "2"),
        ("min.insync.replicas", "2"),
    ]


def test_offsets_are_kept_as_long_as_what_they_count() -> None:
    plans = list(planned(retention_s=30 * DAY_S).values())
    found = {plan.name: as_planned(plan) for plan in plans}
    [told] = shortcomings(plans, found, {"broker 7": {OFFSETS: "20160"}, "broker 8": {OFFSETS: "43200"}}, TTL_S)
    assert (told.where, told.setting, told.found) == ("broker 7", OFFSETS, "20160")
    assert told.wanted.startswith("at least 43200")


def test_retention_is_at_least_twice_the_longest_ttl() -> None:
    check_retention(14 * DAY_S, TTL_S)
    with pytest.raises(ConfigError, match="NOTIFY_KAFKA_RETENTION_S must be at least 1209600"):
        check_retention(14 * DAY_S - 1, TTL_S)
