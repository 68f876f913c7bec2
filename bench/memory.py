"""Memory of every part that runs our code, early and after many deliveries."""

from __future__ import annotations

import contextlib
import json
from typing import Final

import psutil

from bench import events
from bench.figures import Figures, Task
from bench.stage import WITHIN_S, Stage, running_stage, tracked
from tests.support.stack_client import wait_until

PARTS: Final = ("api", "router", "dispatcher", "tracker", "worker", "worker-low")
BEFORE: Final = 20_000
AFTER: Final = 500_000
#: Events of a request.
AT_ONCE: Final = 1000
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
    """So many more, posted in batches, and all are in the history."""
    begun = tracked(stage.stack)
    for posted in range(0, count, AT_ONCE):
        wait_until(
            lambda until=posted - WAITING: tracked(stage.stack) - begun >= until,  # type: ignore[misc]  # a default binds the turn's value
            "not too many wait",
            WITHIN_S,
            look_s=LOOK_S,
        )
        body = json.dumps([events.event(posted + number) for number in range(min(AT_ONCE, count - posted))]).encode()
        wait_until(lambda body=body: _is_accepted(stage, body), "the batch is accepted", WITHIN_S, look_s=LOOK_S)  # type: ignore[misc]
    wait_until(lambda: tracked(stage.stack) - begun >= count, "all is in the history", WITHIN_S, look_s=LOOK_S)


def _is_accepted(stage: Stage, body: bytes) -> bool:
    headers = {"Content-Type": "application/json"}
    return stage.stack.request("POST", "/api/v1/notifications/batch", body, headers).status == 202


def _resident_mb(stage: Stage, part: str) -> float:
    total = 0
    for one in stage.stack.processes(part):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total / 2**20
