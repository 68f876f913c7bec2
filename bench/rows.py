"""The questions, READ FIRST: what each measures, and what it must reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench import intake, latency, memory, throughput
from bench.figures import Bar, Row

_ALL: Final = (
    Row(
        name="obvious",
        question="from Kafka to the history, against the obvious build",
        unit="deliveries/s",
        measure=throughput.against_obvious,
        bars=(Bar(over=throughput.PRODUCT, under=throughput.OBVIOUS, least={"embedded": 40.0, "real": 60.0}),),
    ),
    Row(
        name="bare-loop",
        question="from Kafka to the history, against the bare loop of the same steps",
        unit="deliveries/s",
        measure=throughput.against_bare_loop,
        bars=(Bar(over=throughput.PRODUCT, under=throughput.BARE, least={"embedded": 0.85, "real": 0.85}),),
    ),
    Row(
        name="batch-of-one",
        question="micro-batches against batches of one",
        unit="deliveries/s",
        measure=throughput.batches_of_one,
        bars=(Bar(over=throughput.PRODUCT, under=throughput.ONE),),
    ),
    Row(
        name="cost",
        question="processor time of all processes, stores included",
        unit="microseconds a delivery",
        measure=throughput.cost,
        bars=(Bar(over="all together", most={"real": 600.0}),),
    ),
    Row(
        name="latency",
        question="from the POST to the provider's call, idle",
        unit="ms",
        measure=latency.idle,
        bars=(
            Bar(over="p50", most={"embedded": 40.0, "real": 40.0}),
            Bar(over="p99", most={"embedded": 120.0, "real": 120.0}),
            Bar(over="p50", under="a Kafka and a Celery round trip"),
        ),
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
        question="accepted, one event a request and 500",
        unit="events/s",
        measure=intake.accepted,
        bars=(
            Bar(over=intake.SINGLE, under=intake.BARE, least={"embedded": 0.35}),
            Bar(over=intake.BATCH, under=intake.SINGLE, least={"embedded": 10.0, "real": 10.0}),
        ),
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
