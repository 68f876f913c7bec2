"""Deliveries a second on a set with few users and little history, and with many of both."""

from __future__ import annotations

from typing import Final

from bench import events, past
from bench.figures import Figures, Task
from bench.stage import add_users, measure, running_stage
from bench.throughput import DELIVERIES, warm_up
from infrastructure import wiring

SMALL: Final = 10_000
LARGE: Final = 1_000_000
FEW: Final = "10 thousand users and rows"
MANY: Final = "1 million users and rows"


def growth(task: Task) -> Figures:
    """One set: measured when small, filled up, measured again; both times with events spread over all its users."""
    found: Figures = {}
    count, large = task.scaled(DELIVERIES), task.scaled(LARGE)
    with running_stage(task.profile, task.folder) as stage:
        history = wiring.history(stage.settings)
        past.fill(history, 0, SMALL, task.tell)
        warm_up(stage)
        for _ in task.each_round():
            task.note(found, FEW, measure(stage, count, SMALL).a_second)
        add_users(stage.settings, events.USERS, large)
        past.fill(history, SMALL, large, task.tell)
        warm_up(stage)
        for number in task.each_round():
            task.note(found, MANY, measure(stage, count, large, first=number).a_second)
    return found
