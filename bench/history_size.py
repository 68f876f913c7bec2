"""How long the history on Cassandra takes to answer, with 10,000 rows and with 1,000,000.

`python -m bench.history_size [--rows 1000000]`, on the Cassandra of infrastructure/services, in two keyspaces of its
own that are dropped at the end. Both are asked in turn, so that they find the same server: one that was just started
answers slower than one that was asked a while. Each user has 100 rows. Exit code 1: a median is above 50 ms, or above
1.5 times that of 10,000 rows.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
from cassandra.cluster import Cluster

from app.domain.ports import History
from app.settings import Settings
from bench import past
from infrastructure import wiring
from infrastructure.services.layout import HOST
from tests.support.page import machine, version, write_between
from tests.support.services import RealServices, running_services
from tests.support.stack_client import ROOT

PAGE = ROOT / "docs" / "reliability.md"
SMALL_ROWS = 10_000
QUESTIONS = 500
WARM_UP = 100
LATEST = 50
MEDIAN_MS = 50.0
RATIO = 1.5


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
    folder = Path(tempfile.mkdtemp(prefix="history-"))
    keyspaces = [f"bench_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    try:
        few, many = (_history(services, folder, keyspace) for keyspace in keyspaces)
        past.fill(few, 0, SMALL_ROWS, click.echo)
        a_second = past.fill(many, 0, rows, click.echo)
        answers = _asked({SMALL_ROWS: few, rows: many})
    finally:
        shutil.rmtree(folder)
        with Cluster([HOST], port=services.layout.cassandra_port) as cluster:
            for keyspace in keyspaces:
                cluster.connect().execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=60.0)
    problems = _tell(answers[SMALL_ROWS], answers[rows], a_second)
    for problem in problems:
        click.echo(f"fell short: {problem}")
    sys.exit(1 if problems else 0)


def _history(services: RealServices, folder: Path, keyspace: str) -> History:
    environ = {
        "NOTIFY_STATE_DIR": str(folder),
        "NOTIFY_SECRET_KEY": "0f" * 32,
        "NOTIFY_DATABASE_URL": f"sqlite:///{folder / 'main.db'}",
        "NOTIFY_HISTORY_URL": f"cassandra://{services.cassandra}/{keyspace}?rf=1",
    }
    settings = Settings.load(environ)
    wiring.migrate_stores(settings)
    return wiring.history(settings)


def _asked(histories: Mapping[int, History]) -> dict[int, Times]:
    """Number of rows -> times of its history. All get the like question before the next one is asked."""
    chance = random.Random(7)  # noqa: S311 - which rows are asked for, no secret
    latest: dict[int, list[float]] = {rows: [] for rows in histories}
    timeline: dict[int, list[float]] = {rows: [] for rows in histories}
    for _ in range(WARM_UP + QUESTIONS):
        share = chance.random()
        for rows, history in histories.items():
            latest[rows].append(_timed(_check_latest, history, int(share * rows / past.ROWS_A_USER)))
            timeline[rows].append(_timed(_check_timeline, history, int(share * rows)))
    return {
        rows: Times(rows, _summary(latest[rows][WARM_UP:]), _summary(timeline[rows][WARM_UP:])) for rows in histories
    }


def _check_latest(history: History, user: int) -> None:
    assert len(history.by_user(past.user(user), limit=LATEST).items) == LATEST


def _check_timeline(history: History, number: int) -> None:
    record = history.notification(past.notification(number))
    assert record is not None
    assert len(record.outcomes) == 1


def _timed(ask: Callable[[History, int], None], history: History, number: int) -> float:
    """Milliseconds."""
    started_s = time.perf_counter()
    ask(history, number)
    return (time.perf_counter() - started_s) * 1000


def _summary(took: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


def _tell(small: Times, large: Times, a_second: float) -> list[str]:
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
        f"median / 95th percentile of {QUESTIONS} questions, both sizes in turn. "
        f"One process wrote {a_second:,.0f} rows/s.\n\n"
        f"| question | {small.rows:,} rows of {small.rows // past.ROWS_A_USER:,} users "
        f"| {large.rows:,} rows of {large.rows // past.ROWS_A_USER:,} users | ratio |\n| --- | ---: | ---: | ---: |\n"
        + "\n".join(lines)
    )
    click.echo(text)
    write_between(PAGE, "history", text)
    return problems


if __name__ == "__main__":
    history_size()
