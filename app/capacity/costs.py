"""What a delivery costs each part, as `bench` measured it: `measured.toml`, written by `python -m bench.measured`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from msgspec import Struct, convert

MEASURED = Path(__file__).with_name("measured.toml")


class Microseconds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Processor time of all processes of a part. Of `api` and `kafka_event` for an event, else for a delivery.

    `worker` is the five steps on a channel that calls nobody; `kafka_delivery` is all that follows an event's record:
    lane, outcomes, finished. Redis, SQL and Cassandra as one server each, without replicas.
    """

    api: float
    api_single: float
    router: float
    dispatcher: float
    worker: float
    tracker: float
    kafka_event: float
    kafka_delivery: float
    redis_broker: float
    redis_state: float
    sql: float
    cassandra: float


class Bytes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an event, or a delivery, leaves: in Kafka on one broker, in Redis, in Cassandra on one node."""

    kafka_event: float
    kafka_delivery: float
    claim: float
    history: float


class Point(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measured throughput that the model has to give again."""

    cores: int
    children: int
    deliveries_a_second: float


class Costs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`turn_ms`: from one batch of a partition to the next, beside the work on it."""

    source: str
    turn_ms: float
    microseconds: Microseconds
    bytes: Bytes
    points: tuple[Point, ...]


@cache
def measured() -> Costs:
    """The costs that come with this version."""
    return convert(tomllib.loads(MEASURED.read_text()), Costs, strict=False)


def throughput(costs: Costs, *, cores: int, children: int) -> float:
    """Deliveries/s from Kafka to the history on one machine that also carries all stores.

    The least of three bounds: what all its cores take together, what so many worker children take, and what one
    process takes of each bridge, of which there is one.
    """
    found = costs.microseconds
    stores = found.kafka_delivery + found.redis_broker + found.redis_state + found.sql + found.cassandra
    bridges = (found.router, found.dispatcher, found.tracker)
    return 1e6 * min(
        cores / (sum(bridges) + found.worker + stores), children / found.worker, *(1 / us for us in bridges)
    )
