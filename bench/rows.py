"""The questions, READ FIRST: what each measures, and what it must reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench import children, growth, intake, latency, left_behind, memory, throughput
from bench.figures import Bar, Row

_ALL: Final = (
    Row(
        name="obvious",
        is_quick=True,
        question="from Kafka to the history, against the obvious build",
        unit="deliveries/s",
        measure=throughput.against_obvious,
        bars=(Bar(over=throughput.PRODUCT, under=throughput.OBVIOUS, least={"embedded": 40.0, "real": 60.0}),),
    ),
    Row(
        name="bare-loop",
        is_quick=True,
        question="from Kafka to the history, against the bare loop of the same steps",
        unit="deliveries/s",
        measure=throughput.against_bare_loop,
        bars=(Bar(over=throughput.PRODUCT, under=throughput.BARE, least={"embedded": 0.85, "real": 0.85}),),
    ),
    Row(
        name="batch-size",
        question="micro-batches of at most so many",
        unit="deliveries/s",
        measure=throughput.batch_sizes,
        bars=(Bar(over=throughput.batches_of(1000), under=throughput.batches_of(1)),),
    ),
    Row(
        name="cost",
        is_quick=True,
        question="processor time of all processes, stores included",
        unit="microseconds a delivery",
        measure=throughput.cost,
        bars=(Bar(over=throughput.ALL, most={"real": 600.0}),),
    ),
    Row(
        name="latency",
        is_quick=True,
        question="from the POST to the provider's call, idle",
        unit="ms",
        measure=latency.idle,
        bars=(
            Bar(over="p50", most={"embedded": 40.0, "real": 40.0}),
            Bar(over="p99", most={"embedded": 120.0, "real": 120.0}),
            Bar(over="p50", under=latency.TRIPS),
        ),
    ),
    Row(
        name="latency-by-load",
        question="from the POST to the provider's call, at so many single events a second",
        unit="ms",
        measure=latency.by_load,
        bars=(),
    ),
    Row(
        name="high-beside-low",
        question="high while low always waits",
        unit="ms",
        measure=latency.beside_low,
        bars=(Bar(over="p95 beside low", under="idle p95", most={"embedded": 2.0, "real": 2.0}),),
    ),
    Row(
        name="intake",
        needs="wrk",
        question="accepted, one event a request and 500",
        unit="events/s",
        measure=intake.accepted,
        bars=(
            Bar(over=intake.SINGLE, under=intake.BARE, least={"embedded": 0.35}),
            Bar(over=intake.BATCH, under=intake.SINGLE, least={"embedded": 10.0, "real": 10.0}),
        ),
    ),
    Row(
        name="growth",
        question="from Kafka to the history, with few and with many users and rows",
        unit="deliveries/s",
        measure=growth.growth,
        bars=(Bar(over=growth.MANY, under=growth.FEW, least={"embedded": 0.8, "real": 0.8}),),
    ),
    Row(
        name="workers",
        question="with fewer and with more worker children; by part",
        unit="deliveries/s, and microseconds a delivery",
        measure=children.children,
        bars=(),
    ),
    Row(
        name="bytes",
        question="what deliveries leave in the stores",
        unit="bytes",
        measure=left_behind.bytes_left,
        bars=(),
        profiles=("real",),
    ),
    Row(
        name="memory",
        question="resident after 500,000 deliveries, against after 20,000",
        unit="MB",
        measure=memory.growth,
        bars=tuple(
            Bar(over=f"{part} after", under=f"{part} before", most={"embedded": 1.1, "real": 1.1})
            for part in memory.PARTS
        ),
    ),
)

ROWS: Final[Mapping[str, Row]] = {row.name: row for row in _ALL}
