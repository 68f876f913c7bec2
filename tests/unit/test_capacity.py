"""Sizing: what a demand needs, and what a burst does to waiting times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from app.capacity.burst import Waiting, waiting_times
from app.capacity.costs import Bytes, Costs, Microseconds, Point, throughput
from app.capacity.demand import LATENCY_MS, PRIORITIES, Demand
from app.capacity.plan import Plan, plan
from app.domain.lane import Lane, Priority
from app.settings import Settings

COSTS = Costs(
    source="a test",
    turn_ms=10.0,
    microseconds=Microseconds(
        api=50.0,
        api_single=400.0,
        router=60.0,
        dispatcher=50.0,
        worker=100.0,
        tracker=80.0,
        kafka_event=10.0,
        kafka_delivery=40.0,
        redis_broker=5.0,
        redis_state=40.0,
        sql=5.0,
        cassandra=200.0,
    ),
    bytes=Bytes(kafka_event=200.0, kafka_delivery=600.0, claim=150.0, history=300.0),
    points=(Point(cores=2, children=1, deliveries_a_second=3000.0),),
)
SETTINGS = Settings.load({})


def demand(**given: Any) -> Demand:
    values: Mapping[str, Any] = {
        "rate": 1000.0,
        "channels": {"log": 1.0},
        "priorities": PRIORITIES,
        "latency_ms": LATENCY_MS,
        "use": 0.5,
        "is_batched": True,
        "node_cores": 8,
    }
    return Demand(**{**values, **given})


def planned(**given: Any) -> Plan:
    return plan(demand(**given), COSTS, SETTINGS)


def count(found: Plan, part: str) -> int:
    return next(need.count for need in (*found.parts, *found.servers) if need.part == part)


def test_each_part_has_as_many_processes_as_its_time_takes() -> None:
    found = planned(rate=20_000.0)
    assert count(found, "tracker") == 4  # 20,000 x 80 us = 1.6 s a second, at one half

    found = planned(rate=100_000.0)
    assert count(found, "router") == 16  # 12, but two for each of the eight installations
    assert count(found, "tracker") == 16


def test_of_every_part_one_may_die() -> None:
    found = planned(rate=1.0)

    assert {need.count for need in found.parts} == {2}
    assert min(pool.children for pool in found.pools) == 2


def test_single_events_take_more_of_the_http_service() -> None:
    assert count(planned(rate=10_000.0, is_batched=False), "api") == 8
    assert count(planned(rate=10_000.0), "api") == 2


def test_a_pool_has_the_children_that_the_bound_of_its_channel_asks_for() -> None:
    [pool] = planned(channels={"email": 1.0}, latency_ms={"email": 100.0}).pools
    high, medium, low = pool.lanes

    # One call at a time, 100 ms and 100 us each; 250 ms of them make a batch.
    assert (high.child_us, high.batch) == (pytest.approx(100_100.0), 2)
    assert [need.busy for need in pool.lanes] == [pytest.approx(busy) for busy in (10.01, 50.05, 40.04)]
    # At one half: 181 batches of medium and low out, which are half of the bound at most; two dispatchers round down.
    assert pool.bound == 2 * 181 + 1
    assert pool.children == pool.bound + 1
    assert (medium.lane, low.lane) == (Lane(Priority.MEDIUM, "email"), Lane(Priority.LOW, "email"))


def test_calls_at_the_same_time_share_their_wait() -> None:
    [pool] = planned(channels={"sms": 1.0}, latency_ms={"sms": 160.0}).pools

    assert pool.lanes[0].child_us == pytest.approx(100.0 + 10_000.0)
    assert pool.lanes[0].batch == 25


def test_channels_that_call_nobody_share_a_pool_without_a_bound() -> None:
    pools = planned(rate=50_000.0, channels={"log": 1.0, "in_app": 1.0, "push": 0.1}).pools

    assert {pool.channels: pool.bound > 0 for pool in pools} == {"push": True, "in_app, log": False}
    [own] = [pool for pool in pools if not pool.bound]
    assert own.children == 20  # 100,000 x 100 us at one half


def test_a_partition_carries_one_batch_at_a_time() -> None:
    found = planned(rate=20_000.0)

    # Medium: 10,000/s x (100 us + 10 ms / 436 of a batch of 256 KiB) at one half; two installations share them.
    assert found.cells == 2
    assert found.partitions["lanes"] == 2
    assert found.partitions["raw"] == math.ceil(count(found, "router") / 2)


def test_what_one_redis_cannot_carry_takes_more_installations_with_stores_of_their_own() -> None:
    assert planned(rate=10_000.0).cells == 1
    found = planned(rate=100_000.0)
    assert found.cells == 8
    assert count(found, "redis-broker and redis-state") == 8
    assert count(found, "Kafka broker") == 24
    assert count(found, "scheduler") == 16


def test_memory_and_disk_follow_from_how_long_things_are_kept() -> None:
    found = planned()

    assert found.redis_gb == pytest.approx(1000 * 3600 * 150 * 1.5 / 2**30)
    assert found.kafka_gb == pytest.approx(1000 * 800 * 14 * 86400 * 3 / 2**30)
    assert found.history_gb == pytest.approx(1000 * 300 * 90 * 86400 * 3 / 2**30)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"channels": {"fax": 1.0}}, "fax"),
        ({"channels": {"log": 0.0}}, "--channels"),
        ({"rate": 0.0}, "--rate"),
        ({"priorities": {"urgent": 1.0}}, "urgent"),
        ({"priorities": {"high": 0.5}}, "--priorities"),
        ({"use": 1.5}, "--use"),
        ({"latency_ms": {"email": -1.0}}, "less than 0"),
    ],
)
def test_what_cannot_be_planned_for_is_named(given: dict[str, Any], named: str) -> None:
    [fault] = demand(**given).faults()

    assert named in fault


def test_throughput_is_the_least_of_cores_children_and_single_bridges() -> None:
    assert throughput(COSTS, cores=2, children=8) == pytest.approx(2e6 / 580)
    assert throughput(COSTS, cores=64, children=1) == pytest.approx(10_000)
    assert throughput(COSTS, cores=64, children=64) == pytest.approx(1e6 / 80)
    cheap = replace(COSTS, microseconds=replace(COSTS.microseconds, tracker=400.0))
    assert throughput(cheap, cores=64, children=64) == pytest.approx(2500)


def waits(found: Plan, times: float, seconds: float) -> list[Waiting]:
    return waiting_times(found.pools, turn_ms=COSTS.turn_ms, times=times, seconds=seconds)


def test_without_a_burst_nobody_waits_longer_than_some_batches() -> None:
    found = waits(planned(rate=10_000.0), 1.0, 20.0)

    assert [one.priority for one in found] == list(Priority)
    assert max(one.p95_s for one in found) < 1.0


def test_a_delivery_takes_as_long_as_its_provider_at_least() -> None:
    found = waits(planned(rate=20.0, channels={"email": 1.0}, latency_ms={"email": 1500.0}), 1.0, 60.0)

    assert all(1.5 < one.median_s < 6.0 for one in found)


@pytest.mark.parametrize("channel", ["log", "email"])
def test_in_a_burst_medium_and_low_wait_and_high_does_not(channel: str) -> None:
    found = planned(rate=10_000.0, use=0.6, channels={channel: 1.0}, latency_ms={"email": 20.0})
    high, *others = waits(found, 10.0, 60.0)

    assert high.p95_s < 10.0  # ten times as much of high, too, takes it some seconds
    # Ten times the rate for a minute, at 0.6: minutes of work more than the children do meanwhile.
    assert all(60.0 < one.longest_s < 1800.0 for one in others)


def test_a_longer_burst_makes_longer_waits() -> None:
    short, long = (waits(planned(rate=10_000.0), 5.0, seconds)[-1] for seconds in (10.0, 30.0))

    assert 2.0 < long.longest_s / short.longest_s < 4.0
