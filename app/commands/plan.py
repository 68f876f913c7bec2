"""`plan`: how many processes, partitions and servers a rate needs, from what was measured, with every assumption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from app.capacity.burst import waiting_times
from app.capacity.costs import measured
from app.capacity.demand import LATENCY_MS, PRIORITIES, Demand
from app.capacity.plan import Plan
from app.capacity.plan import plan as make_plan
from app.commands.output import json_option, print_json, print_rows
from app.settings import settings


class Shares(click.ParamType[Mapping[str, float]]):
    """`name=number,...`; a number alone is 1."""

    name = "NAME=NUMBER,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, float]:
        """The numbers by name."""
        if not isinstance(value, str):
            found: Mapping[str, float] = value
            return found
        shares: dict[str, float] = {}
        for part in value.split(","):
            name, _, number = part.strip().partition("=")
            try:
                shares[name] = float(number or 1)
            except ValueError:
                self.fail(f"{part!r} is not NAME=NUMBER", param, ctx)
        return shares


@click.command()
@click.option("--rate", type=float, required=True, help="Events a second.")
@click.option("--channels", type=Shares(), required=True, help="Deliveries an event, by channel: email=0.3,push=0.6.")
@click.option("--priorities", type=Shares(), help="Shares of the events. Default: high=0.1,medium=0.5,low=0.4.")
@click.option("--latency", type=Shares(), help="Milliseconds of a provider's answer, by channel: email=80.")
@click.option("--use", type=float, default=0.6, show_default=True, help="How busy a process may be.")
@click.option("--single", is_flag=True, help="Events come one a request, not in batches.")
@click.option("--cores", type=click.IntRange(min=1), default=8, show_default=True, help="Of a server of the stores.")
@click.option(
    "--burst", type=click.FloatRange(min=1), default=10.0, show_default=True, help="The burst: times the rate."
)
@click.option("--burst-s", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds of the burst.")
@json_option
def plan(burst: float, burst_s: float, *, as_json: bool, **given: Any) -> None:
    """Tell what a rate needs: processes, worker children by lane, partitions, servers, and waiting times in a burst."""
    demand = Demand(
        rate=given["rate"],
        channels=given["channels"],
        priorities=given["priorities"] or PRIORITIES,
        latency_ms={**LATENCY_MS, **(given["latency"] or {})},
        use=given["use"],
        is_batched=not given["single"],
        node_cores=given["cores"],
    )
    if faults := demand.faults():
        raise click.UsageError("; ".join(faults))
    costs = measured()
    found = make_plan(demand, costs, settings())
    waits = waiting_times(found.pools, turn_ms=costs.turn_ms, times=burst, seconds=burst_s)
    if as_json:
        print_json({"plan": found, "burst": {"times": burst, "seconds": burst_s, "waiting": waits}})
        return
    _show(demand, found)
    rows = [[wait.priority, *(f"{s:,.2f}" for s in (wait.median_s, wait.p95_s, wait.longest_s))] for wait in waits]
    title = f"Seconds that a delivery takes which came in {burst_s:g} s of {burst:g} times the rate (simulated)"
    _print(title, ("priority", "median", "p95", "longest"), rows)


def _show(demand: Demand, found: Plan) -> None:
    click.echo(f"{demand.rate:,.0f} events/s, {demand.deliveries:,.0f} deliveries/s\n")
    if found.cells > 1:
        click.echo(
            f"One Redis cannot carry this: {found.cells} installations are needed, each with its share of the users.\n"
            "All numbers below are of these together, but for partitions.\n"
        )
    _print("Processes", ("part", "count", "because"), [[one.part, one.count, one.because] for one in found.parts])
    pools = [[one.channels, one.children, one.because] for one in found.pools]
    _print("Worker children, by pool", ("channels", "children", "because"), pools)
    lanes = [
        [one.lane.queue, f"{one.rate:,.0f}/s", f"{one.busy:,.2f}", one.batch, one.partitions]
        for pool in found.pools
        for one in pool.lanes
    ]
    _print("Lanes", ("lane", "deliveries", "busy children", "batch", "partitions"), lanes)
    _print("Partitions of a topic, at least", ("topics", "count"), [list(one) for one in found.partitions.items()])
    _print("Servers", ("server", "count", "because"), [[one.part, one.count, one.because] for one in found.servers])
    sizes = {
        "Redis, claims": found.redis_gb,
        "Kafka, all brokers": found.kafka_gb,
        "Cassandra, all nodes": found.history_gb,
    }
    _print("Memory and disk", ("store", "size"), [[store, f"{gb:,.1f} GB"] for store, gb in sizes.items()])
    click.echo("Assumed:\n" + "\n".join(f"- {one}" for one in found.assumed) + "\n")


def _print(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    print_rows(title, columns, rows, as_json=False)
