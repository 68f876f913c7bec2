"""What the steps count: once a batch, and handed to the pool's parent with it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.batch import Batch
from app.domain.meter import METER
from app.domain.metric_catalogue import OPEN, OUTCOMES, STALE, STEP, STEP_FAILURES
from app.domain.outcome import Reason
from infrastructure.telemetry.pool_channel import PoolChannel

#: Made by the pool's parent before it forks; there is none where steps run in a process of their own.
_channels: list[PoolChannel] = []
_REASONS = {"", *map(str, Reason)}
_OTHER = "other"


def open_channel() -> None:
    """In the pool's parent, before it forks: what its children will report through."""
    _channels[:] = [PoolChannel()]


def receive() -> None:
    """In the pool's parent, once it has forked: take over what they report."""
    for channel in _channels:
        channel.receive_into(METER)


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Time a step."""
    started_at = time.perf_counter()
    try:
        yield
    finally:
        METER.observe(STEP, time.perf_counter() - started_at, (step,))


def failed(step: str) -> None:
    """A step has ended with an unexpected error."""
    METER.count(STEP_FAILURES, (step,))


def is_stale() -> None:
    """A copy was read too late."""
    METER.count(STALE)
    hand_over()


def batch_ended(batch: Batch) -> None:
    """A copy is recorded: what became of its deliveries."""
    outcomes: Counter[tuple[str, str]] = Counter()
    still_open: Counter[str] = Counter()
    for item in batch.items:
        verdict = item.verdict
        if verdict is None or verdict.is_recorded:
            continue
        if verdict.open is not None:
            still_open[str(verdict.open)] += 1
        else:
            outcomes[str(verdict.status), verdict.reason if verdict.reason in _REASONS else _OTHER] += 1
    channel = batch.head.queue.partition(".")[2]
    for (status, reason), deliveries in outcomes.items():
        METER.count(OUTCOMES, (channel, status, reason), deliveries)
    for reason, deliveries in still_open.items():
        METER.count(OPEN, (reason,), deliveries)
    hand_over()


def hand_over() -> None:
    """Send what was counted to the pool's parent."""
    for channel in _channels:
        channel.send(METER)
