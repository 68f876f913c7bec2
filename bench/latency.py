"""Seconds from the POST to the provider's call, idle and beside a backlog of low."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from bench import events
from bench.figures import Figures, Task
from bench.round_trips import celery_round_trip_s, kafka_round_trip_s
from bench.stage import WITHIN_S, Stage, publish, running_stage, tracked
from infrastructure import wiring
from tests.support.any_stack import Profile
from tests.support.catalogue import write_catalogue
from tests.support.load import Load, Sent
from tests.support.providers import stand_ins
from tests.support.stack_client import wait_until

EVENTS: Final = 500
#: Seconds from one event to the next.
PACE_S: Final = 0.04
ARRIVE_S: Final = 120.0
CHANNEL: Final = "webhook"
WARM_UP: Final = 50
TRIPS: Final = "a Kafka and a Celery round trip"
#: Low deliveries that wait at least, while high goes by; how many more are put there at a time.
LOW_WAITING: Final[Mapping[Profile, int]] = {"embedded": 20_000, "real": 50_000}
MARGIN: Final = 2000
LOOK_S: Final = 0.2
#: Events a second, each for so long; threads that post.
LOADS: Final = (25, 50, 100, 200)
LOAD_S: Final = 10
POSTERS: Final = 32
SHARES: Final = (50, 95, 99)


def idle(task: Task) -> Figures:
    """Single events, one after the other, on a set that has nothing else to do."""
    found: Figures = {}
    with _warm(task) as (stage, load):
        for _ in task.each_round():
            found_ms = _latencies_ms(load, task.scaled(EVENTS))
            trips_ms = 1000 * (kafka_round_trip_s(stage) + celery_round_trip_s(stage))
            task.note(found, "p50", percentile(found_ms, 50))
            task.note(found, "p99", percentile(found_ms, 99))
            task.note(found, TRIPS, trips_ms)
    return found


def by_load(task: Task) -> Figures:
    """Single events at a steady rate, each at its time whatever becomes of the others."""
    found: Figures = {}
    with _warm(task) as (_, load), ThreadPoolExecutor(POSTERS) as posters:
        for _ in task.each_round():
            for rate in LOADS:
                found_ms = _latencies_at_ms(load, posters, rate, task.scaled(LOAD_S))
                for share in SHARES:
                    task.note(found, at_load(share, rate), percentile(found_ms, share))
    return found


def at_load(share: int, rate: int) -> str:
    """The name of a percentile at so many events a second."""
    return f"p{share} at {rate}/s"


def beside_low(task: Task) -> Figures:
    """High on a set that always has low waiting, against the same set when idle."""
    found: Figures = {}
    with _warm(task) as (stage, load):
        for _ in task.each_round():
            task.note(found, "idle p95", percentile(_latencies_ms(load, task.scaled(EVENTS)), 95))
            with _low_waiting(stage, task.scaled(LOW_WAITING[task.profile])) as waiting:
                found_ms = _latencies_ms(load, task.scaled(EVENTS))
            task.note(found, "p95 beside low", percentile(found_ms, 95))
            task.note(found, "low that waited, at least", min(waiting))
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
def _low_waiting(stage: Stage, count: int) -> Iterator[list[float]]:
    """At least so many low deliveries wait until the end of the block; then until none does.

    Gives how many waited at each look.
    """
    secret, over = wiring.secret(stage.settings), threading.Event()
    begun, published = tracked(stage.stack), 0
    looks: list[float] = []

    def fill() -> None:
        nonlocal published
        waiting = published - (tracked(stage.stack) - begun)
        looks.append(waiting)
        if (more := int(count + MARGIN - waiting)) > 0:
            publish(stage.settings, list(events.raw_records(more, secret, "low")))
            published += more

    def refill() -> None:
        while not over.wait(LOOK_S):
            fill()

    fill()
    looks.clear()
    with ThreadPoolExecutor(1) as filler:
        filling = filler.submit(refill)
        try:
            yield looks
        finally:
            over.set()
            filling.result()
    wait_until(lambda: tracked(stage.stack) - begun >= published, "low is through", WITHIN_S, look_s=1.0)


def _latencies_ms(load: Load, count: int) -> list[float]:
    sent = []
    for _ in range(count):
        due_s = time.monotonic() + PACE_S
        sent.append(load.post_one(load.event("high", CHANNEL)))
        time.sleep(max(0.0, due_s - time.monotonic()))
    return [1000 * one for one in load.latencies(sent, ARRIVE_S)]


def _latencies_at_ms(load: Load, posters: ThreadPoolExecutor, rate: int, seconds: int) -> list[float]:
    started_s = time.monotonic()
    posted: list[tuple[float, Future[Sent]]] = []
    for number in range(rate * seconds):
        due_s = started_s + number / rate
        time.sleep(max(0.0, due_s - time.monotonic()))
        posted.append((due_s, posters.submit(load.post_one, load.event("high", CHANNEL))))
    # From when it was due: one that waited for a free thread has waited.
    sent = [one.result()._replace(posted_at_s=due_s) for due_s, one in posted]
    return [1000 * one for one in load.latencies(sent, ARRIVE_S)]


def percentile(ordered: Sequence[float], share: int) -> float:
    """Of figures in order: the least that `share` percent do not exceed."""
    return ordered[min(len(ordered) - 1, -(-len(ordered) * share // 100) - 1)]
