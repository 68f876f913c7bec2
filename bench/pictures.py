"""`python -m bench.pictures`: draws docs/performance-*.png from bench/results: what there is of both profiles.

Throughput over the size of batches, percentiles of latency over load, and processor time by part.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import matplotlib as mpl

mpl.use("Agg")  # no window

from matplotlib import pyplot as plt

from bench import latency, throughput
from bench.__main__ import RESULTS
from tests.support.any_stack import PROFILES
from tests.support.stack_client import ROOT

FOLDER: Final = ROOT / "docs"
SIZE: Final = (6.4, 3.6)
DPI: Final = 120
#: Parts below this are drawn together.
SMALL_US: Final = 4.0

Medians = Mapping[str, float]


def draw() -> None:
    """Draw what there is."""
    rows = {profile: _rows(profile) for profile in PROFILES}
    drawn = [
        _picture("batch-size", rows, _throughput, "largest batch", "deliveries/s"),
        _picture("latency-by-load", rows, _latency, "events a second", "ms from POST to provider"),
        _picture("cost", rows, _cost, "", "microseconds of processor time a delivery"),
    ]
    for path in filter(None, drawn):
        click.echo(path)


def _rows(profile: str) -> dict[str, Medians]:
    path = RESULTS / f"{profile}.json"
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    return {
        name: {figure: statistics.median(found) for figure, found in row["figures"].items()}
        for name, row in stored["rows"].items()
    }


def _picture(row: str, rows: Mapping[str, Mapping[str, Medians]], draw: Any, x: str, y: str) -> Path | None:
    """One picture with a line or a bar for each profile that has the row; None where none has."""
    found = {profile: by_row[row] for profile, by_row in rows.items() if row in by_row}
    if not found:
        return None
    figure, axes = plt.subplots(figsize=SIZE, dpi=DPI, layout="constrained")
    for profile, medians in found.items():
        draw(axes, profile, medians)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    path = FOLDER / f"performance-{row}.png"
    figure.savefig(path)
    plt.close(figure)
    return path


def _throughput(axes: Any, profile: str, medians: Medians) -> None:
    sizes = throughput.BATCH_SIZES
    axes.plot(sizes, [medians[throughput.batches_of(size)] for size in sizes], marker="o", label=profile)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)


def _latency(axes: Any, profile: str, medians: Medians) -> None:
    dashes = dict(zip(latency.SHARES, ("-", "--", ":"), strict=True))
    color = None
    for share in latency.SHARES:
        values = [medians[latency.at_load(share, rate)] for rate in latency.LOADS]
        [line] = axes.plot(
            latency.LOADS, values, marker="o", linestyle=dashes[share], color=color, label=f"{profile}, p{share}"
        )
        color = line.get_color()
    axes.set_ylim(bottom=0)


def _cost(axes: Any, profile: str, medians: Medians) -> None:
    parts = {name: us for name, us in medians.items() if name != throughput.ALL}
    shown = {name: us for name, us in parts.items() if us >= SMALL_US}
    shown["others"] = sum(parts.values()) - sum(shown.values())
    bottom = 0.0
    for number, (name, us) in enumerate(sorted(shown.items(), key=lambda one: -one[1])):
        axes.bar(profile, us, bottom=bottom, width=0.6, color=plt.get_cmap("tab20")(number % 20))
        axes.text(profile, bottom + us / 2, f"{name} {us:.0f}", ha="center", va="center", fontsize=6)
        bottom += us
    axes.plot([], [], " ", label=f"{profile}: {bottom:,.0f}")


if __name__ == "__main__":
    draw()
