"""Seconds from the POST to the provider's call, idle and beside a backlog of low."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from bench import events
from bench.figures import Figures, Task
from bench.round_trips import celery_round_trip_s, kafka_round_trip_s
from bench.stage import WITHIN_S, Stage, publish, running_stage, tracked
from infrastructure import wiring
from tests.support.any_stack import Profile
from tests.support.catalogue import write_catalogue
from tests.support.load import Load
from tests.support.providers import stand_ins
from tests.support.stack_client import wait_until

EVENTS: Final = 500
#: Seconds from one event to the next.
PACE_S: Final = 0.04
ARRIVE_S: Final = 120.0
CHANNEL: Final = "webhook"
WARM_UP: Final = 50
#: Low deliveries that wait at least, while high goes by; how many more are put there at a time.
LOW_WAITING: Final[Mapping[Profile, int]] = {"embedded": 20_000, "real": 50_000}
MARGIN: Final = 2000
LOOK_S: Final = 0.2


def idle(task: Task) -> Figures:
    """Single events, one after the other, on a set that has nothing else to do."""
    found: Figures = {}
    with _warm(task) as (stage, load):
        for _ in task.each_round():
            found_ms = _latencies_ms(load, task.scaled(EVENTS))
            trips_ms = 1000 * (kafka_round_trip_s(stage) + celery_round_trip_s(stage))
            task.note(found, "p50", percentile(found_ms, 50))
            task.note(found, "p99", percentile(found_ms, 99))
            task.note(found, "a Kafka and a Celery round trip", trips_ms)
    return found


def beside_low(task: Task) -> Figures:
    """High on a set that always has low waiting, against the same set when idle."""
    found: Figures = {}
    with _warm(task) as (stage, load):
        for _ in task.each_round():
            task.note(found, "idle p95", percentile(_latencies_ms(load, task.scaled(EVENTS)), 95))
            with _low_waiting(stage, task.scaled(LOW_WAITING[task.profile])):
                found_ms = _latencies_ms(load, task.scaled(EVENTS))
            task.note(found, "p95 beside low", percentile(found_ms, 95))
    return found


@contextmanager
def _warm(task: Task) -> Iterator[tuple[Stage, Load]]:
    """A set that has done the like, before providers that write down when they were called."""
    with stand_ins(task.folder) as providers:
        settings = {
            "CATALOGUE": str(write_catalogue(task.folder)),  # has the types of the load
            "SMTP_URL": providers.smtp.url,
            "WEBHOOK_ALLOW": "127.0.0.1/32",
        }
        with running_stage(task.profile, task.folder, **settings) as stage:
            load = Load(stage.stack, providers)
            _latencies_ms(load, WARM_UP)
            yield stage, load


@contextmanager
def _low_waiting(stage: Stage, count: int) -> Iterator[None]:
    """At least so many low deliveries wait until the end of the block; then until none does."""
    secret, over = wiring.secret(stage.settings), threading.Event()
    begun, published = tracked(stage.stack), 0

    def refill() -> None:
        nonlocal published
        while not over.wait(LOOK_S):
            waiting = published - (tracked(stage.stack) - begun)
            if waiting < count + MARGIN:
                publish(stage.settings, list(events.raw_records(MARGIN, secret, "low")))
                published += MARGIN

    publish(stage.settings, list(events.raw_records(count + MARGIN, secret, "low")))
    published = count + MARGIN
    filler = threading.Thread(target=refill)
    filler.start()
    try:
        yield
    finally:
        over.set()
        filler.join()
    wait_until(lambda: tracked(stage.stack) - begun >= published, "low is through", WITHIN_S, look_s=1.0)


def _latencies_ms(load: Load, count: int) -> list[float]:
    sent = []
    for _ in range(count):
        due_s = time.monotonic() + PACE_S
        sent.append(load.post_one(load.event("high", CHANNEL)))
        time.sleep(max(0.0, due_s - time.monotonic()))
    return [1000 * one for one in load.latencies(sent, ARRIVE_S)]


def percentile(ordered: Sequence[float], share: int) -> float:
    """Of figures in order: the least that `share` percent do not exceed."""
    return ordered[min(len(ordered) - 1, -(-len(ordered) * share // 100) - 1)]
