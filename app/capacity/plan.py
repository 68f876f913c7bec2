"""How many processes, partitions and servers a demand needs, and why. Pure arithmetic on what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from app.capacity.costs import Costs
from app.capacity.demand import Demand
from app.domain.channel import CHANNEL_BY_NAME
from app.domain.lane import Lane, Priority
from app.settings import Settings

#: Of every part at least so many, so that one may die.
AT_LEAST = 2
REPLICATION = 3
#: What Redis takes beside what is counted: limits, copies of contacts, and room to grow.
REDIS_ROOM = 1.5
GB = 2**30
#: The pool of all channels that call no network.
OWN_STORES = "in_app, log"


class LaneNeed(Struct, frozen=True, kw_only=True):
    """What one lane needs. `child_us`: how long a delivery takes a worker child. `batch`: deliveries of a batch.

    `busy`: children that work on it all the time.
    """

    lane: Lane
    rate: float
    child_us: float
    batch: int
    busy: float
    partitions: int


class PoolNeed(Struct, frozen=True, kw_only=True):
    """A pool of workers that serves all lanes of a channel, or of all channels that call no network.

    `bound`: batches of a network channel that may be out, over all its lanes; 0: no bound.
    """

    channels: str
    lanes: list[LaneNeed]
    children: int
    bound: int
    because: str


class Need(Struct, frozen=True, kw_only=True):
    """So many of a part, and the sum behind it."""

    part: str
    count: int
    because: str


class Plan(Struct, frozen=True, kw_only=True):
    """All of it. `cells`: installations, each with its own stores and its own users, that the numbers are of together.

    `partitions`: at least, by kind of topic, in each installation.
    """

    cells: int
    parts: list[Need]
    pools: list[PoolNeed]
    servers: list[Need]
    partitions: dict[str, int]
    redis_gb: float
    kafka_gb: float
    history_gb: float
    assumed: list[str]


def plan(demand: Demand, costs: Costs, settings: Settings) -> Plan:
    """The plan for a demand without faults."""
    # One installation has one Redis of each kind, and each of these works on one core.
    redis_us = max(costs.microseconds.redis_broker, costs.microseconds.redis_state)
    cells = _count(demand.deliveries * redis_us / 1e6, demand.use)
    parts = _parts(demand, costs, cells)
    count = {need.part: need.count for need in parts}
    lanes = [_lane(lane, rate, demand, costs, settings) for lane, rate in demand.lanes().items()]
    return Plan(
        cells=cells,
        parts=parts,
        pools=_pools(lanes, demand.use, count["dispatcher"]),
        servers=_servers(demand, costs, cells, redis_us),
        partitions={
            "raw": _share(count["router"], cells),
            "lanes": _share(max(need.partitions for need in lanes), cells),
            "outcomes": _share(count["tracker"], cells),
        },
        redis_gb=demand.deliveries * settings.claim_ttl_s * costs.bytes.claim * REDIS_ROOM / GB,
        kafka_gb=_kafka_bytes(demand, costs) * settings.kafka_retention_s * REPLICATION / GB,
        history_gb=demand.deliveries * settings.history_retention_s * costs.bytes.history * REPLICATION / GB,
        assumed=_assumed(demand, costs, settings),
    )


def _lane(lane: Lane, rate: float, demand: Demand, costs: Costs, settings: Settings) -> LaneNeed:
    """A partition has one batch out at a time; a child works on one batch at a time."""
    spec = CHANNEL_BY_NAME[lane.channel]
    waits_us = 1000 * demand.latency_ms.get(lane.channel, 0.0) / spec.concurrency if spec.calls_network else 0.0
    child_us = costs.microseconds.worker + waits_us
    most = min(settings.batch_max, int(settings.batch_bytes / max(1.0, costs.bytes.kafka_delivery)))
    batch = max(1, min(most, int(1000 * settings.batch_wall_ms / waits_us))) if waits_us else most
    turn_us = 1000 * costs.turn_ms / batch
    return LaneNeed(
        lane=lane,
        rate=rate,
        child_us=child_us,
        batch=batch,
        busy=rate * child_us / 1e6,
        partitions=_count(rate * (child_us + turn_us) / 1e6, demand.use),
    )


def _pools(lanes: list[LaneNeed], use: float, dispatchers: int) -> list[PoolNeed]:
    """A pool for each network channel, so that one's outage stays its own, and one for all others."""
    by_pool: dict[str, list[LaneNeed]] = {}
    for need in lanes:
        channel = need.lane.channel
        by_pool.setdefault(channel if CHANNEL_BY_NAME[channel].calls_network else OWN_STORES, []).append(need)
    return [_pool(name, found, use, dispatchers) for name, found in by_pool.items()]


def _pool(name: str, lanes: list[LaneNeed], use: float, dispatchers: int) -> PoolNeed:
    """What the dispatchers let out of a channel (`bridges/dispatch/known.py`, `gate.py`) has to be enough.

    At most one batch less than there are children, of medium and low half of that, and each dispatcher rounds its
    share down.
    """
    busy = {
        is_high: sum(need.busy for need in lanes if (need.lane.priority is Priority.HIGH) is is_high)
        for is_high in (True, False)
    }
    high, others = (_count(busy[is_high], use) if busy[is_high] else 0 for is_high in (True, False))
    summed = f"{busy[True]:,.2f} busy with high, {busy[False]:,.2f} with medium and low, at {use:.0%}"
    if name == OWN_STORES:
        children = max(AT_LEAST, _count(busy[True] + busy[False], use))
        return PoolNeed(channels=name, lanes=lanes, children=children, bound=0, because=summed)
    bound = max(2 * others, high + others) + dispatchers - 1
    return PoolNeed(
        channels=name,
        lanes=lanes,
        children=bound + 1,
        bound=bound,
        because=f"{summed}; {bound} batches may be out, medium and low half of them",
    )


def _parts(demand: Demand, costs: Costs, cells: int) -> list[Need]:
    found = costs.microseconds
    rates: Mapping[str, tuple[float, float]] = {
        "api": (demand.rate, found.api if demand.is_batched else found.api_single),
        "router": (demand.deliveries, found.router),
        "dispatcher": (demand.deliveries, found.dispatcher),
        "tracker": (demand.deliveries, found.tracker),
    }
    return [
        *(
            Need(
                part=name,
                count=max(AT_LEAST * cells, _count(rate * us / 1e6, demand.use)),
                because=f"{rate:,.0f}/s x {us:.0f} us at {demand.use:.0%}",
            )
            for name, (rate, us) in rates.items()
        ),
        Need(part="scheduler", count=AT_LEAST * cells, because="one works, one stands by; more where much is parked"),
    ]


def _servers(demand: Demand, costs: Costs, cells: int, redis_us: float) -> list[Need]:
    found, deliveries = costs.microseconds, demand.deliveries
    cores = {
        "Kafka broker": (demand.rate * found.kafka_event + deliveries * found.kafka_delivery) / 1e6,
        "Cassandra node": deliveries * found.cassandra * REPLICATION / 1e6,
        "SQL server": deliveries * found.sql / 1e6,
    }
    fewest = {"Kafka broker": REPLICATION, "Cassandra node": REPLICATION, "SQL server": 1}
    return [
        *(
            Need(
                part=name,
                count=max(fewest[name] * cells, _count(used / demand.node_cores, demand.use)),
                because=f"{used:,.1f} cores, of {demand.node_cores} a server at {demand.use:.0%}",
            )
            for name, used in cores.items()
        ),
        Need(
            part="redis-broker and redis-state",
            count=cells,
            because=f"{deliveries:,.0f}/s x {redis_us:.0f} us of one core at {demand.use:.0%}",
        ),
    ]


def _kafka_bytes(demand: Demand, costs: Costs) -> float:
    """Bytes/s on one broker that has all partitions."""
    return demand.rate * costs.bytes.kafka_event + demand.deliveries * costs.bytes.kafka_delivery


def _assumed(demand: Demand, costs: Costs, settings: Settings) -> list[str]:
    latencies = ", ".join(f"{name} {demand.latency_ms.get(name, 0.0):g} ms" for name in demand.channels)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in demand.priorities.items())
    return [
        f"costs: {costs.source}",
        "measured with full batches of channel log: smaller ones, and a provider's protocol, take more of a worker",
        f"providers answer in: {latencies}",
        f"events: {shares}; {'in batches' if demand.is_batched else 'one a request'}; as large as the README's",
        f"a process or server is at most {demand.use:.0%} busy",
        f"replication {REPLICATION}; {demand.node_cores} cores a Kafka broker, Cassandra node or SQL server",
        f"claims are kept {settings.claim_ttl_s / 3600:g} h, records {settings.kafka_retention_s / 86400:g} days",
        f"history is kept {settings.history_retention_s / 86400:g} days",
        "nothing is parked, no limit holds a lane, and low that waits for company is not counted as waiting",
    ]


def _count(busy: float, use: float) -> int:
    """How many it takes, each busy at most `use` of its time."""
    return max(1, math.ceil(busy / use - 1e-9))


def _share(count: int, cells: int) -> int:
    return math.ceil(count / cells)
