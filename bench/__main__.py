"""`python -m bench [--profile embedded|real] [--row NAME ...] [--rounds N] [--quick] [--list]`: how fast it is.

Each row measures two things in turn on the same set, for ratios in one run say more than figures of different ones.
Results add up, row by row, in bench/results/<profile>.json: an interrupted run goes on with `--missing`. Exit code 1:
a row fell short.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

import click

from bench import page
from bench.figures import Figures, Row, Task
from bench.rows import ROWS
from tests.support.any_stack import PROFILES, Profile
from tests.support.page import machine, version

RESULTS: Final = Path(__file__).parent / "results"
ROUNDS: Final = 5
#: Size of a round in the quick form.
QUICK: Final = 0.25
#: Rows that pictures are drawn of.
DRAWN: Final = ("batch-size", "latency-by-load", "cost")
PACKAGES: Final = ("celery", "kombu", "confluent-kafka", "redis", "sqlalchemy", "msgspec", "flask", "granian")


@click.command()
@click.option(
    "--profile", type=click.Choice(PROFILES), default="embedded", show_default=True, help="What it stands on."
)
@click.option("--row", "names", multiple=True, type=click.Choice(list(ROWS)), help="Only this row; may be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Rounds of each row.")
@click.option("--quick", is_flag=True, help="One small round of each row. Writes nothing, and judges nothing.")
@click.option("--missing", is_flag=True, help="Only rows that this version has no result of.")
@click.option("--list", "is_listing", is_flag=True, help="Show the rows.")
def bench(profile: Profile, names: Sequence[str], rounds: int, *, quick: bool, missing: bool, is_listing: bool) -> None:
    """Measure, and compare."""
    if is_listing:
        for row in ROWS.values():
            click.echo(f"{row.name:<16} {row.question}")
        return
    stored = _stored(profile)
    wanted = [
        row
        for row in ROWS.values()
        if profile in row.profiles and (row.name in names if names else row.is_quick or not quick)
    ]
    for program in {row.needs for row in wanted if row.needs and shutil.which(row.needs) is None}:
        raise click.ClickException(f"{program} is not installed (Debian has a package; make services installs it)")
    for row in wanted:
        if missing and row.name in stored["rows"]:
            continue
        found = _measured(row, profile, 1 if quick else rounds, QUICK if quick else 1.0)
        if not quick:
            stored["rows"][row.name] = _result(row, found, profile)
            _store(profile, stored)
            page.write(profile, stored)
    if quick:
        return
    if any(row.name in DRAWN for row in wanted):
        from bench.pictures import draw  # its library takes a second to load

        draw()
    short = [
        f"{row.name}: {bar['of']} is {bar['value']:.4g}, must be {bar['must']}"
        for row in wanted
        for bar in stored["rows"][row.name]["bars"]
        if not bar["is_met"]
    ]
    for one in short:
        click.echo(f"fell short: {one}")
    sys.exit(1 if short else 0)


def _measured(row: Row, profile: Profile, rounds: int, scale: float) -> Figures:
    """Measure and show a row."""
    click.echo(f"\n{row.question} ({row.unit}, {profile})")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        task = Task(
            profile=profile,
            folder=Path(folder),
            rounds=rounds,
            scale=scale,
            tell=lambda text: click.echo(f"  {text}"),
        )
        found = row.measure(task)
    _show(row, found, profile)
    click.echo(f"  took {time.monotonic() - started_s:.0f} s")
    return found


def _show(row: Row, found: Figures, profile: Profile) -> None:
    """The table of a row, and what becomes of its bars."""
    width = max(len(name) for name in found)
    click.echo(f"  {'':<{width}} {'min':>10} {'median':>10} {'max':>10}")
    for name, figures in found.items():
        click.echo(
            f"  {name:<{width}} {min(figures):>10,.4g} {statistics.median(figures):>10,.4g} {max(figures):>10,.4g}"
        )
    for bar in row.bars:
        value, limits = bar.value(found), bar.limits(profile)
        is_met = bar.is_met(profile, value)
        click.echo(f"  {bar.text}: {value:.4g}" + (f", {limits}: {'yes' if is_met else 'NO'}" if limits else ""))


def _result(row: Row, found: Figures, profile: Profile) -> dict[str, Any]:
    return {
        "question": row.question,
        "unit": row.unit,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "figures": {name: [round(figure, 2) for figure in figures] for name, figures in found.items()},
        "bars": [
            {
                "of": bar.text,
                "value": round(bar.value(found), 3),
                "must": bar.limits(profile),
                "is_met": bar.is_met(profile, bar.value(found)),
            }
            for bar in row.bars
        ],
    }


def _stored(profile: Profile) -> dict[str, Any]:
    """What there is of this version; results of another are dropped."""
    path = RESULTS / f"{profile}.json"
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if stored.get("version") != version():
        stored = {"version": version(), "rows": {}}
    return stored


def _store(profile: Profile, stored: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    stored["machine"] = machine()
    stored["cores"] = os.cpu_count()
    stored["packages"] = {name: installed(name) for name in PACKAGES}
    (RESULTS / f"{profile}.json").write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    bench()
