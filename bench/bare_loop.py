"""The bare loop: the five steps and the history's write on batches, with neither Kafka nor Celery between.

`python -m bench.bare_loop DELIVERIES BATCH` is one process of it, over the settings of a running set: it makes its
batches, says `ready`, waits for a line, works, and says how long it took, as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

from msgspec import convert

from app.domain import codec
from app.domain.batch import Batch, BatchHead, Finished, Item
from app.domain.clock import now_ms
from app.domain.event import Event
from app.domain.event_plan import plan_event
from app.domain.lane import Lane, Priority
from app.domain.outcome import Outcome
from app.domain.ports import History
from app.settings import Settings, settings
from bench import events
from bench.stage import CHILDREN, Run, Stage
from infrastructure import wiring
from tasks.check_preferences import check_preferences
from tasks.context import StepContext, build_context
from tasks.deliver import deliver
from tasks.limit_rate import limit_rate
from tasks.record import record
from tasks.validate import validate
from tests.support.stack_client import ROOT

LANE = Lane(Priority(events.PRIORITY), events.CHANNEL)
LIFE_MS = 600_000
TOLD = "told "


def measure(stage: Stage, count: int, batch: int) -> Run:
    """As many processes as the set has children for the lane, at once; the slowest one's time counts."""
    argv = [sys.executable, "-m", "bench.bare_loop", str(count // CHILDREN), str(batch)]
    started = [
        subprocess.Popen(
            argv, cwd=ROOT, env=stage.stack.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(CHILDREN)
    ]
    try:
        for one in started:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n", "the bare loop did not start"
        started_s = time.monotonic()
        for one in started:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        told = [_told(one.stdout) for one in started if one.stdout is not None]
        seconds = time.monotonic() - started_s
    finally:
        for one in started:
            one.kill()
            one.communicate()
    return Run(sum(one["deliveries"] for one in told), seconds, {"bare loop": sum(one["cpu_s"] for one in told)})


def _told(lines: IO[str]) -> dict[str, float]:
    """What a process says at its end; it logs before, as a worker does."""
    for line in lines:
        if line.startswith(TOLD):
            found: dict[str, float] = json.loads(line.removeprefix(TOLD))
            return found
    raise AssertionError("a process of the bare loop has ended")


class _HistoryLog:
    """Port OutcomeLog: outcomes go straight into the history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._outcomes: list[Outcome] = []

    def has_room(self) -> bool:
        return True

    def put(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)

    def dead_letter(self, outcome: Outcome, body: bytes) -> None:
        raise AssertionError("nothing here can fail")

    def durable(self, keys: Sequence[tuple[str, int]], timeout_s: float) -> set[tuple[str, int]]:
        outcomes, self._outcomes = self._outcomes, []
        self._history.append(outcomes)
        return set(keys)

    def finish(self, finished: Finished, timeout_s: float) -> bool:
        assert not finished.open, finished.open[:1]
        return True


def _batches(current: Settings, count: int, size: int) -> list[bytes]:
    """As the broker would carry them."""
    catalogue, secret = wiring.catalogue(current), wiring.secret(current)
    items: list[Item] = []
    for offset, raw in enumerate(events.raw_records(count, secret)):
        event = codec.decode(raw.body, Event)
        plan = plan_event(raw.id, event, catalogue, raw.accepted_at_ms, now_ms())
        items.append(Item(offset=offset, delivery=plan.deliveries[0]))
    made = []
    for first in range(0, count, size):
        part = items[first : first + size]
        head = BatchHead(
            queue=LANE.queue,
            topic=LANE.topic,
            partition=0,
            first=part[0].offset,
            last=part[-1].offset,
            sent_at_ms=now_ms(),
            not_after_ms=now_ms() + LIFE_MS,
        )
        made.append(codec.encode(Batch(head=head, items=part)))
    return made


def _work(batches: Sequence[bytes], context: StepContext) -> None:
    for message in batches:
        batch = convert(json.loads(message), Batch)  # as behind Celery's JSON
        for step in (validate, check_preferences, limit_rate, deliver):
            batch = step(batch, context)
        record(batch, context)


def main(count: int, size: int) -> None:
    """One process of the loop."""
    current = settings()
    context = dataclasses.replace(build_context(current), outcomes=_HistoryLog(wiring.history(current)))
    context.warm_up()
    batches = _batches(current, count, size)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    started_s, used_s = time.monotonic(), time.process_time()
    _work(batches, context)
    told = {
        "deliveries": count,
        "seconds": time.monotonic() - started_s,
        "cpu_s": time.process_time() - used_s,
    }
    sys.stdout.write(TOLD + json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
