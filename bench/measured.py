"""`python -m bench.measured`: writes app/capacity/measured.toml, which `manage.py plan` counts with.

From the rows `workers`, `intake`, `latency` and `bytes` of the real profile, all of one version.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from typing import Any, Final

import click

from app.capacity.costs import MEASURED
from bench import children, intake, latency, left_behind
from bench.__main__ import RESULTS

SOURCE: Final = RESULTS / "real.json"
ROWS: Final = ("workers", "intake", "latency", "bytes")
BROKERS: Final = ("kafka-1", "kafka-2", "kafka-3")


@click.command()
def measured() -> None:
    """Write the file."""
    stored: dict[str, Any] = json.loads(SOURCE.read_text())
    missing = [name for name in ROWS if name not in stored["rows"]]
    if missing:
        raise click.ClickException(f"{SOURCE.name} has no row {', '.join(missing)}")
    figures = {name: statistics.median(found) for row in ROWS for name, found in stored["rows"][row]["figures"].items()}
    dates = sorted(stored["rows"][row]["at"][:10] for row in ROWS)
    source = f"python -m bench --profile=real, version {stored['version']}, {dates[-1]}, {stored['machine']}"
    MEASURED.write_text(_toml(source, figures, stored["cores"]))
    click.echo(MEASURED.read_text())


def _toml(source: str, figures: Mapping[str, float], cores: int) -> str:
    most = max(pools.children for pools in children.POOLS["real"])

    def us(*parts: str) -> float:
        return sum(figures[children.named(part, most)] for part in parts)

    tables: dict[str, dict[str, float]] = {
        "microseconds": {
            "api": figures[f"{intake.API_US}, {intake.BATCH}"],
            "api_single": figures[f"{intake.API_US}, {intake.SINGLE}"],
            "router": us("router"),
            "dispatcher": us("dispatcher"),
            "worker": us("worker-low"),  # the only pool of this row that serves the lane
            "tracker": us("tracker"),
            "kafka_event": figures[f"{intake.KAFKA_US}, {intake.BATCH}"],
            "kafka_delivery": us(*BROKERS),
            "redis_broker": us("redis-broker"),
            "redis_state": us("redis-state"),
            "sql": us("mariadb"),
            "cassandra": us("cassandra"),
        },
        "bytes": {
            "kafka_event": figures[left_behind.EVENT],
            "kafka_delivery": figures[left_behind.DELIVERY],
            "claim": figures[left_behind.CLAIM],
            "history": figures[left_behind.HISTORY],
        },
    }
    lines = [
        "# Written by `python -m bench.measured`: processor time by part, and what an event or a delivery leaves.",
        f'source = "{source}"',
        f"turn_ms = {figures[latency.TRIPS]:.1f}",
    ]
    for name, values in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {value:.1f}" for key, value in values.items())]
    for pools in children.POOLS["real"]:
        rate = figures[children.named(children.RATE, pools.children)]
        lines += ["", "[[points]]", f"cores = {cores}", f"children = {pools.children}"]
        lines += [f"deliveries_a_second = {rate:.0f}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    measured()
