"""How long the history on Cassandra takes to answer, with 10,000 rows and with 1,000,000.

`python -m bench.history_size [--rows 1000000]`, on the Cassandra of infrastructure/services, in a keyspace of its
own that is dropped at the end. Each user has 100 rows. Exit code 1: a median is above 50 ms, or above 1.5 times that
of 10,000 rows.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
from cassandra.cluster import Cluster

from app.domain.event import Event
from app.domain.outcome import Outcome, Status
from app.domain.ports import History
from app.settings import Settings
from infrastructure import wiring
from infrastructure.services.layout import HOST
from tests.support.page import machine, version, write_between
from tests.support.services import running_services
from tests.support.stack_client import ROOT

PAGE = ROOT / "docs" / "reliability.md"
SMALL_ROWS = 10_000
ROWS_A_USER = 100
PORTION = 1000
QUESTIONS = 300
LATEST = 50
MEDIAN_MS = 50.0
RATIO = 1.5
#: Rows lie in the last 30 days.
SPAN_MS = 30 * 24 * 3_600_000


class Times(NamedTuple):
    """Medians and 95th percentiles in milliseconds."""

    rows: int
    latest: tuple[float, float]
    timeline: tuple[float, float]


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=SMALL_ROWS))
def history_size(rows: int) -> None:
    """Fill the history, ask it, fill it further, ask it again."""
    services = running_services()
    keyspace = f"bench_{uuid.uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix="history-"))
    environ = {
        "NOTIFY_STATE_DIR": str(folder),
        "NOTIFY_SECRET_KEY": "0f" * 32,
        "NOTIFY_DATABASE_URL": f"sqlite:///{folder / 'main.db'}",
        "NOTIFY_HISTORY_URL": f"cassandra://{services.cassandra}/{keyspace}?rf=1",
    }
    settings = Settings.load(environ)
    try:
        wiring.migrate_stores(settings)
        history = wiring.history(settings)
        small = _measured(history, 0, SMALL_ROWS)
        large = _measured(history, SMALL_ROWS, rows)
    finally:
        shutil.rmtree(folder)
        with Cluster([HOST], port=services.layout.cassandra_port) as cluster:
            cluster.connect().execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=60.0)
    problems = _tell(small, large)
    for problem in problems:
        click.echo(f"fell short: {problem}")
    sys.exit(1 if problems else 0)


def _measured(history: History, have: int, rows: int) -> Times:
    started_s = time.monotonic()
    for first in range(have, rows, PORTION):
        history.append([_outcome(number) for number in range(first, min(first + PORTION, rows))])
        if first % 100_000 == 0:
            click.echo(f"{first:>9} rows, {(first - have) / max(0.001, time.monotonic() - started_s):,.0f}/s")
    chance = random.Random(7)  # noqa: S311 - which rows are asked for, no secret
    users = rows // ROWS_A_USER
    numbers = [chance.randrange(rows) for _ in range(QUESTIONS)]
    latest = _timed(lambda number: _check_latest(history, number % users), numbers)
    timeline = _timed(lambda number: _check_timeline(history, number), numbers)
    return Times(rows, latest, timeline)


def _check_latest(history: History, user: int) -> None:
    assert len(history.by_user(f"user-{user}", limit=LATEST).items) == LATEST


def _check_timeline(history: History, number: int) -> None:
    record = history.notification(_notification(number))
    assert record is not None
    assert len(record.outcomes) == 1


def _timed(ask: Callable[[int], None], numbers: Sequence[int]) -> tuple[float, float]:
    """Median and 95th percentile, milliseconds, after a warm-up."""
    for number in numbers[:20]:
        ask(number)
    took = []
    for number in numbers:
        started_s = time.perf_counter()
        ask(number)
        took.append((time.perf_counter() - started_s) * 1000)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


def _notification(number: int) -> str:
    return str(uuid.UUID(int=(number << 64) | 0x7000_8000_0000_0000))


def _outcome(number: int) -> Outcome:
    """Row `number`: users take turns, so that each has `ROWS_A_USER` whatever the size."""
    block, place = divmod(number, SMALL_ROWS)
    user = f"user-{block * (SMALL_ROWS // ROWS_A_USER) + place % (SMALL_ROWS // ROWS_A_USER)}"
    at_ms = _NOW_MS - (number * 7919 * 1000) % SPAN_MS
    return Outcome(
        notification_id=_notification(number),
        delivery_id=f"d-{number}",
        user_id=user,
        event_type="order_shipped",
        channel="email",
        status=Status.SENT,
        provider="smtp",
        provider_id=f"id-{number}",
        attempt=1,
        at_ms=at_ms + 40,
        accepted_at_ms=at_ms,
        routed_at_ms=at_ms + 10,
        event=Event(user_id=user, event_type="order_shipped", content="Your order has left our warehouse."),
    )


_NOW_MS = int(time.time() * 1000)


def _tell(small: Times, large: Times) -> list[str]:
    lines, problems = [], []
    for name, few, many in (
        (f"a user's latest {LATEST}", small.latest, large.latest),
        ("a notification's timeline", small.timeline, large.timeline),
    ):
        ratio = many[0] / few[0]
        lines.append(f"| {name} | {few[0]:.1f} / {few[1]:.1f} | {many[0]:.1f} / {many[1]:.1f} | {ratio:.2f} |")
        if many[0] > MEDIAN_MS:
            problems.append(f"{name}: {many[0]:.1f} ms")
        if ratio > RATIO:
            problems.append(f"{name}: {ratio:.2f} times the time with {small.rows:,} rows")
    text = (
        f"Version {version()}, {datetime.now(UTC):%Y-%m-%d}, {machine()}; "
        "`python -m bench.history_size`. Milliseconds, "
        f"median / 95th percentile of {QUESTIONS} questions.\n\n"
        f"| question | {small.rows:,} rows of {small.rows // ROWS_A_USER:,} users "
        f"| {large.rows:,} rows of {large.rows // ROWS_A_USER:,} users | ratio |\n| --- | ---: | ---: | ---: |\n"
        + "\n".join(lines)
    )
    click.echo(text)
    write_between(PAGE, "history", text)
    return problems


if __name__ == "__main__":
    history_size()
