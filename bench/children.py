"""One worker child against two: deliveries a second, and what each part takes of the processors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from bench.figures import Figures, Task
from bench.stage import Run, measure, running_stage
from bench.throughput import DELIVERIES, warm_up
from tests.support.any_stack import Profile

RATE: Final = "deliveries/s"


class Pools(NamedTuple):
    """How a set gets so many children for the lane that is measured."""

    children: int
    replicas: Mapping[str, int]
    settings: Mapping[str, str]


#: Embedded a pool of one child runs beside the other one, so there are two at least.
POOLS: Final[Mapping[Profile, tuple[Pools, Pools]]] = {
    "embedded": (Pools(2, {}, {"CHILDREN_ALL": "1"}), Pools(3, {}, {"CHILDREN_ALL": "2"})),
    "real": (Pools(1, {"worker": 0, "worker-low": 1}, {}), Pools(2, {"worker": 0, "worker-low": 2}, {})),
}


def children(task: Task) -> Figures:
    """Two sets, one after the other."""
    found: Figures = {}
    for number, pools in enumerate(POOLS[task.profile]):
        folder = task.folder / str(number)
        folder.mkdir()
        with running_stage(task.profile, folder, replicas=pools.replicas, **pools.settings) as stage:
            warm_up(stage)
            for _ in task.each_round():
                _note(task, found, measure(stage, task.scaled(DELIVERIES)), pools.children)
    return found


def named(what: str, number: int) -> str:
    """The name of a figure with so many children."""
    return f"{what}, {number} {'child' if number == 1 else 'children'}"


def _note(task: Task, found: Figures, run: Run, number: int) -> None:
    task.note(found, named(RATE, number), run.a_second)
    for part, seconds in sorted(run.cpu_s.items(), key=lambda one: -one[1]):
        found.setdefault(named(part, number), []).append(seconds / run.deliveries * 1e6)
