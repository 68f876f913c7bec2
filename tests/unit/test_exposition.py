"""What a process shows: zeros from the start, cumulative buckets, gauges read when asked, and nothing stale."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from app.domain.errors import StoreUnavailableError
from app.domain.meter import Meter
from app.domain.metric import Labels, Metric
from app.domain.metric_catalogue import OUT, PARKED, STALE, STEP
from infrastructure.telemetry.exposition import Exposition, Gauges, metrics_of, shared_metrics
from infrastructure.telemetry.pool_channel import PoolChannel
from tests.support.stack_client import wait_until

Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(exposition: Exposition) -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition.text().decode())
        for sample in family.samples
    }


def sample(exposition: Exposition, name: str, **labels: str) -> float | None:
    return samples(exposition).get((name, frozenset(labels.items())))


def test_what_never_happened_is_zero() -> None:
    shown = Exposition(metrics_of("worker"), meter=Meter())
    assert sample(shown, "notify_stale_batches_total") == 0
    assert sample(shown, "notify_step_seconds_count", step="deliver") == 0


def test_buckets_are_cumulative() -> None:
    meter = Meter()
    for value in (0.0015, 0.004, 99.0):
        meter.observe(STEP, value, ("deliver",))
    shown = Exposition([STEP], meter=meter)
    found = [sample(shown, "notify_step_seconds_bucket", step="deliver", le=le) for le in ("0.001", "0.002", "0.005")]
    assert found == [0, 1, 2]
    assert sample(shown, "notify_step_seconds_bucket", step="deliver", le="+Inf") == 3
    assert sample(shown, "notify_step_seconds_count", step="deliver") == 3
    assert sample(shown, "notify_step_seconds_sum", step="deliver") == 99.0055


def test_gauges_are_read_when_asked_for_and_not_again_for_a_while() -> None:
    reads = []

    def read() -> Mapping[Metric, Mapping[Labels, float]]:
        reads.append(1)
        return {OUT: {("high.email",): len(reads)}}

    shown = Exposition([OUT], [Gauges(read, every_s=60)], Meter())
    assert not reads
    assert [sample(shown, "notify_out_batches", lane="high.email") for _ in range(2)] == [1, 1]
    fresh = Exposition([OUT], [Gauges(read, every_s=0)], Meter())
    assert [sample(fresh, "notify_out_batches", lane="high.email") for _ in range(2)] == [2, 3]


def test_gauges_of_a_store_that_is_away_are_left_out_and_others_are_not() -> None:
    def away() -> Mapping[Metric, Mapping[Labels, float]]:
        raise StoreUnavailableError("away")

    gauges = [Gauges(away, 0), Gauges(lambda: {OUT: {("high.email",): 1.0}}, 0)]
    shown = Exposition([OUT, PARKED], gauges, Meter())
    assert samples(shown) == {("notify_out_batches", frozenset({("lane", "high.email")})): 1.0}


def test_a_process_shows_what_is_its_own_and_what_all_share() -> None:
    names = {metric.name for metric in metrics_of("tracker")}
    assert "notify_tracked_outcomes" in names
    assert "notify_step_seconds" not in names
    assert {metric.name for metric in shared_metrics()} < names


def test_children_report_to_their_parent_and_die_without_harm() -> None:
    """Two real forked children, one after the other, as a pool replaces them: the parent's counter goes on."""
    channel, parent, child = PoolChannel(), Meter(), Meter()
    channel.receive_into(parent)
    for number in (1, 2):
        pid = os.fork()
        if not pid:
            child.count(STALE, amount=number)
            channel.send(child)
            os._exit(0)
        os.waitpid(pid, 0)
    shown = Exposition([STALE], meter=parent)
    wait_until(lambda: sample(shown, "notify_stale_batches_total") == 3, "both have reported")


def test_a_parent_that_does_not_read_costs_a_child_nothing_and_loses_nothing() -> None:
    channel, child, parent = PoolChannel(), Meter(), Meter()
    for _ in range(5000):
        child.count(STALE)
        channel.send(child)
    assert child.readings()  # what did not fit waits here
    channel.receive_into(parent)
    shown = Exposition([STALE], meter=parent)

    def is_complete() -> bool:
        channel.send(child)
        return sample(shown, "notify_stale_batches_total") == 5000

    wait_until(is_complete, "all of it has come")
