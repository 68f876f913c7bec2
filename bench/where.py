"""`python -m bench.where [--profile embedded|real] [--part NAME ...]`: where the processor time of each process goes.

Feeds a running set for a while and lets py-spy take samples of every process of our own. Shown for each part: of the
time it works, what share is under a function of ours or of a library (the deepest frame that is no plumbing), as a
table for docs/performance.md.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click

from bench.stage import Stage, measure, running_stage
from bench.throughput import warm_up
from tests.support.any_stack import PROFILES, Profile

PARTS: Final = ("router", "dispatcher", "worker", "worker-low", "tracker", "scheduler")
RATE: Final = 200
SECONDS: Final = 12
DELIVERIES: Final = 40_000
LINES: Final = 10
#: A frame of these says nothing of what is done.
PLUMBING: Final = ("<frozen", "threading.py", "contextlib.py", "selectors.py")


@click.command()
@click.option("--profile", type=click.Choice(PROFILES), default="embedded", show_default=True)
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS)
def where(profile: Profile, parts: Sequence[str]) -> None:
    """Sample, and print a table for each part."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        raise click.ClickException("py-spy is not there: make bench installs it")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, running_stage(profile, Path(name)) as stage:
        warm_up(stage)
        files = _sampled(spy, stage, parts, Path(name))
        for part in parts:
            _show(part, files[part])


def _sampled(spy: str, stage: Stage, parts: Sequence[str], folder: Path) -> dict[str, list[Path]]:
    """Files of samples by part, taken while deliveries go through."""
    files: dict[str, list[Path]] = {part: [] for part in parts}
    loaded = ThreadPoolExecutor(1)
    load = loaded.submit(measure, stage, DELIVERIES)
    spies = []
    for part in parts:
        for process in stage.stack.processes(part):
            path = folder / f"{part}-{process.pid}.raw"
            files[part].append(path)
            words = ["record", "--pid", str(process.pid), "--rate", str(RATE), "--duration", str(SECONDS)]
            argv = [spy, *words, "--format", "raw", "--output", str(path), "--nonblocking"]
            spies.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    for one in spies:
        _, said = one.communicate()
        if one.returncode:
            raise click.ClickException(f"py-spy: {said.strip().splitlines()[-1]}")
    load.result()
    loaded.shutdown()
    return files


def _show(part: str, files: Sequence[Path]) -> None:
    """A line of a file is a stack, its frames from the outermost on divided by `;`, and how often it was found."""
    found: Counter[str] = Counter()
    for path in files:
        for line in path.read_text().splitlines() if path.exists() else ():
            stack, _, times = line.rpartition(" ")
            found[_said(stack.split(";"))] += int(times)
    total = sum(found.values())
    click.echo(f"\n| {part} ({total:,} samples) | share |\n| --- | ---: |")
    for name, number in found.most_common(LINES):
        click.echo(f"| {name} | {number / total:.0%} |")


def _said(frames: Sequence[str]) -> str:
    """`function (file)` of the deepest frame that tells something."""
    told = [frame for frame in frames if not any(word in frame for word in PLUMBING)]
    name, _, place = (told or frames)[-1].partition(" (")
    return f"`{name}` ({place.split(':')[0]})"


if __name__ == "__main__":
    where()
