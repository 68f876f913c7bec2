"""`python -m tests.faults.campaign [--row NAME ...] [--rounds N] [--quick] [--list]`: break one thing at a time.

Needs the services of infrastructure/services. Each round of a row posts at least 500 deliveries/s, breaks what the row
says, waits until all that was accepted is final, and compares what was accepted (written down with fsync) with the
history in Cassandra and with what the providers' stand-ins took. Results of one version of the product add up in
docs/reliability.md. Exit code 1: a row fell short.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from infrastructure.services import toxiproxy
from infrastructure.services.layout import BROKERS, Layout
from infrastructure.services.service import ServiceError
from infrastructure.services.services import all_services
from infrastructure.services.services import start as start_services
from tests.faults.campaign import report
from tests.faults.campaign.rows import ROWS, Row
from tests.faults.campaign.run import run
from tests.support.catalogue import write_catalogue
from tests.support.providers import StandIns, stand_ins
from tests.support.real_stack import RealStack, running_real_stack
from tests.support.services import FOLDER, RealServices
from tests.support.stack import QUICK

#: Rounds of a row that is not long.
ROUNDS = 3
#: A provider's answer takes so long, so that a fault finds calls under way.
ANSWER_S = 0.01
#: Of two cores all have to live: fewer partitions make larger batches.
CAMPAIGN = {"KAFKA_PARTITIONS": "3"}


@click.command()
@click.option("--row", "names", multiple=True, type=click.Choice(list(ROWS)), help="Only this row; may be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds of each row.")
@click.option("--quick", is_flag=True, help="One short round of each row that fits: what CI runs. Writes nothing.")
@click.option("--list", "is_listing", is_flag=True, help="Show the rows.")
def campaign(names: Sequence[str], rounds: int | None, quick: bool, is_listing: bool) -> None:
    """The fault campaign on the real stores."""
    if is_listing:
        for row in ROWS.values():
            click.echo(f"{row.name:<24} {row.text}")
        return
    rows = [row for row in ROWS.values() if (row.name in names if names else row.is_quick or not quick)]
    services = _services()
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder, stand_ins(Path(folder)) as providers:
        for provider in providers.all():
            provider.slow_down(ANSWER_S)
        for through in ("direct", "proxy"):
            wanted = [row for row in rows if row.through == through]
            if wanted:
                with _set(services, Path(folder) / through, providers, through) as stack:
                    failed += _run(wanted, stack, services, providers, Path(folder), rounds=rounds, quick=quick)
    if failed:
        click.echo(f"\nfell short: {', '.join(failed)}")
        sys.exit(1)


def _run(
    rows: Sequence[Row],
    stack: RealStack,
    services: RealServices,
    providers: StandIns,
    folder: Path,
    *,
    rounds: int | None,
    quick: bool,
) -> list[str]:
    failed = []
    for row in rows:
        wanted = 1 if quick else rounds or (1 if row.is_long else ROUNDS)
        for _ in range(wanted):
            started_s = time.monotonic()
            try:
                result = run(row, stack, services, providers, folder, quick=quick)
            except (AssertionError, ServiceError) as error:
                click.echo(f"{row.name:<24} broke off: {str(error)[:300]}")
                failed.append(row.name)
                continue
            click.echo(report.line(row.name, result, time.monotonic() - started_s))
            if not quick:
                report.merge(row, result)
            if not result.is_good:
                failed.append(row.name)
                click.echo("\n".join(f"  {fault}" for fault in result.faults))
                kept = Path(tempfile.gettempdir()) / f"campaign-{row.name}.log"
                kept.write_text(stack.log())
                click.echo(f"  log of the set: {kept}")
    return failed


def _services() -> RealServices:
    layout = Layout.load(FOLDER)
    if layout is None:
        raise click.ClickException("the services are not there: make services")
    start_services(list(all_services(layout).values()))
    return RealServices(layout)


@contextmanager
def _set(services: RealServices, folder: Path, providers: StandIns, through: str) -> Iterator[RealStack]:
    folder.mkdir()
    settings = {**QUICK, "CATALOGUE": str(write_catalogue(folder)), "SMTP_URL": providers.smtp.url, **CAMPAIGN}
    addresses = _proxied(services.layout) if through == "proxy" else {}
    with running_real_stack(services, folder, addresses=addresses, **settings) as stack:
        yield stack


def _proxied(layout: Layout) -> Mapping[str, str]:
    """The same stores, through toxiproxy."""
    listens = {str(one["name"]): str(one["listen"]) for one in toxiproxy.proxies(layout)}
    return {f"kafka-{node}:9092": listens[f"kafka-{node}"] for node in BROKERS} | {
        f"{name}:6379": listens[name] for name in ("redis-broker", "redis-state")
    }


if __name__ == "__main__":
    campaign()
