"""Deliveries a second, from Kafka to the row in the history."""

from __future__ import annotations

from typing import Final

from bench import bare_loop, obvious_run
from bench.figures import Figures, Task
from bench.stage import Stage, measure, running_stage

#: Deliveries of a round: enough that starting and ending are little of it.
DELIVERIES: Final = 20_000
OBVIOUS_DELIVERIES: Final = 600
WARM_UP: Final = 4000
#: Deliveries of a batch of the bare loop: what the dispatcher makes of a lane that is full.
BATCH: Final = 500
PRODUCT: Final = "the product"
OBVIOUS: Final = "the obvious build"
BARE: Final = "the bare loop"
BATCH_SIZES: Final = (1, 10, 100, 1000)
ALL: Final = "all together"
#: Of small batches fewer deliveries, but so many batches at least.
FEWEST_BATCHES: Final = 200


def against_obvious(task: Task) -> Figures:
    """Both on the same set, in turn."""
    found: Figures = {}
    with running_stage(task.profile, task.folder) as stage:
        warm_up(stage)
        for _ in task.each_round():
            task.note(found, PRODUCT, measure(stage, task.scaled(DELIVERIES)).a_second)
            task.note(found, OBVIOUS, obvious_run.measure(stage, task.scaled(OBVIOUS_DELIVERIES)).a_second)
            warm_up(stage)  # its parts stood still
    return found


def against_bare_loop(task: Task) -> Figures:
    """Both on the same set, in turn."""
    found: Figures = {}
    count = task.scaled(DELIVERIES)
    with running_stage(task.profile, task.folder) as stage:
        warm_up(stage)
        for _ in task.each_round():
            task.note(found, PRODUCT, measure(stage, count).a_second)
            task.note(found, BARE, bare_loop.measure(stage, count, BATCH).a_second)
    return found


def batch_sizes(task: Task) -> Figures:
    """The product with batches of at most so many, one set after the other."""
    found: Figures = {}
    for size in BATCH_SIZES:
        folder = task.folder / str(size)
        folder.mkdir()
        count = min(DELIVERIES, max(DELIVERIES // 10, size * FEWEST_BATCHES))
        with running_stage(task.profile, folder, BATCH_MAX=str(size)) as stage:
            warm_up(stage, min(WARM_UP, count))
            for _ in task.each_round():
                task.note(found, batches_of(size), measure(stage, task.scaled(count)).a_second)
    return found


def batches_of(size: int) -> str:
    """The name of a figure with batches of at most so many."""
    return f"batches of {size:,}"


def cost(task: Task) -> Figures:
    """Microseconds of processor time of all processes, by part, for a delivery."""
    found: Figures = {}
    with running_stage(task.profile, task.folder) as stage:
        warm_up(stage)
        for _ in task.each_round():
            run = measure(stage, task.scaled(DELIVERIES))
            for part, seconds in sorted(run.cpu_s.items(), key=lambda one: -one[1]):
                found.setdefault(part, []).append(seconds / run.deliveries * 1e6)
            task.note(found, ALL, sum(run.cpu_s.values()) / run.deliveries * 1e6)
    return found


def warm_up(stage: Stage, count: int = WARM_UP) -> None:
    """The first batches connect, compile and fill caches."""
    measure(stage, count)
