"""What deliveries leave in the stores: bytes of Redis memory, of Kafka's files on a broker, of Cassandra's tables."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Final

import redis

from app.domain.lane import RAW_TOPIC
from bench import past
from bench.figures import Figures, Task
from bench.stage import Stage, measure, running_stage
from bench.throughput import DELIVERIES, warm_up
from infrastructure import wiring
from infrastructure.services.layout import Layout

#: Enough that most of them are in files.
HISTORY_ROWS: Final = 200_000
CLAIM: Final = "Redis, a delivery's claim"
EVENT: Final = "Kafka, an event"
DELIVERY: Final = "Kafka, a delivery"
HISTORY: Final = "Cassandra, a delivery"


def bytes_left(task: Task) -> Figures:
    """Before and after some deliveries. Real profile: embedded keeps no files of Kafka."""
    found: Figures = {}
    count = task.scaled(DELIVERIES)
    with running_stage(task.profile, task.folder) as stage:
        assert stage.services is not None
        layout = stage.services.layout
        warm_up(stage)
        for _ in task.each_round():
            redis_before, kafka_before = _redis_bytes(stage), _kafka_bytes(layout)
            measure(stage, count)
            raw, rest = (after - before for after, before in zip(_kafka_bytes(layout), kafka_before, strict=True))
            task.note(found, CLAIM, (_redis_bytes(stage) - redis_before) / count)
            task.note(found, EVENT, raw / count)
            task.note(found, DELIVERY, rest / count)
        cassandra_before = _cassandra_bytes(layout)
        rows = task.scaled(HISTORY_ROWS)
        past.fill(wiring.history(stage.settings), 0, rows, task.tell)
        task.note(found, HISTORY, (_cassandra_bytes(layout) - cassandra_before) / rows)
    return found


def _redis_bytes(stage: Stage) -> int:
    client = redis.Redis.from_url(stage.settings.redis_url)
    try:
        return int(client.info("memory")["used_memory"])
    finally:
        client.close()


def _kafka_bytes(layout: Layout) -> tuple[int, int]:
    """Of the raw topics on one broker, which has all partitions; and of all others of ours."""
    found = (layout.data("kafka-1") / "logs").glob("notifications.*")
    folders = [path for path in found if path.is_dir() and not path.name.endswith("-delete")]  # of a set before
    is_raw = {path: path.name.startswith(RAW_TOPIC) for path in folders}
    return (
        sum(_size(path, "*.log") for path in folders if is_raw[path]),
        sum(_size(path, "*.log") for path in folders if not is_raw[path]),
    )


def _cassandra_bytes(layout: Layout) -> int:
    """Its tables' files: what is still in memory, or only in the commit log, is not in them."""
    files = layout.data("cassandra") / "files" / "data"
    return sum(_size(path, "*") for path in itertools.chain(files.glob("notify_*/*/"), files.glob("bench_*/*/")))


def _size(folder: Path, names: str) -> int:
    total = 0
    for path in folder.glob(names):
        with contextlib.suppress(FileNotFoundError):  # rewritten meanwhile
            total += path.stat().st_size
    return total
