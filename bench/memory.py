"""Memory of every part that runs our code, early and after many deliveries."""

from __future__ import annotations

import contextlib
from typing import Final

import psutil

from bench import events
from bench.figures import Figures, Task
from bench.stage import WITHIN_S, Stage, publish, running_stage, tracked
from infrastructure import wiring
from tests.support.stack_client import wait_until

PARTS: Final = ("api", "router", "dispatcher", "tracker", "worker", "worker-low")
BEFORE: Final = 20_000
AFTER: Final = 500_000
AT_ONCE: Final = 10_000
#: Most that waits in Kafka: this is about what the parts keep, not about a backlog.
WAITING: Final = 20_000
LOOK_S: Final = 0.2


def growth(task: Task) -> Figures:
    """One set, looked at twice. A single round is enough: it is a long one."""
    found: Figures = {}
    with running_stage(task.profile, task.folder) as stage:
        _deliver(stage, BEFORE)
        for part in PARTS:
            task.note(found, f"{part} before", _resident_mb(stage, part))
        _deliver(stage, task.scaled(AFTER) - BEFORE)
        for part in PARTS:
            task.note(found, f"{part} after", _resident_mb(stage, part))
    return found


def _deliver(stage: Stage, count: int) -> None:
    """So many more, and all are in the history."""
    secret, begun = wiring.secret(stage.settings), tracked(stage.stack)
    for published in range(0, count, AT_ONCE):
        wait_until(
            lambda until=published - WAITING: tracked(stage.stack) - begun >= until,  # type: ignore[misc]  # a default binds the turn's value
            "not too many wait",
            WITHIN_S,
            look_s=LOOK_S,
        )
        publish(stage.settings, list(events.raw_records(min(AT_ONCE, count - published), secret)))
    wait_until(lambda: tracked(stage.stack) - begun >= count, "all is in the history", WITHIN_S, look_s=LOOK_S)


def _resident_mb(stage: Stage, part: str) -> float:
    total = 0
    for one in stage.stack.processes(part):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total / 2**20
