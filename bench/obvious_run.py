"""Runs the obvious build on the stores of a running set, whose own parts stand still meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import sqlalchemy as sql
from celery import Celery
from confluent_kafka import Producer

from bench import events, obvious
from bench.stage import CHILDREN, WITHIN_S, Run, Stage, own_topic, parts_of, paused
from infrastructure.sql.engine import make_engine
from tests.support.ending import end
from tests.support.stack_client import ROOT, wait_until

PARTITIONS = 6
#: Redis databases that the product does not use.
BROKER_DATABASE, LIMITS_DATABASE = "5", "6"
LOOK_S = 0.25
STOP_S = 20.0


def measure(stage: Stage, count: int) -> Run:
    """So many events wait in Kafka; how long until the last one's row is in the history."""
    rows = _Rows(stage.settings.history_url)
    rows.create()
    _fill_users(stage.settings.database_url)
    with paused(stage.stack, parts_of(stage.stack)), own_topic(stage, PARTITIONS) as topic:
        environ = _environ(stage, topic)
        _publish(stage, topic, count)
        with _process(environ, "-m", "celery", "-A", "bench.obvious", "--quiet", "worker", "-c", str(CHILDREN)):
            before = rows.count()
            _wait_workers(environ["OBVIOUS_BROKER"])
            with _process(environ, "-m", "bench.obvious"):
                wait_until(lambda: rows.count() > before, "the first row", WITHIN_S, look_s=0.01)
                started_s, first = time.monotonic(), rows.count() - before
                wait_until(lambda: rows.count() - before >= count, "all rows", WITHIN_S, look_s=LOOK_S)
                seconds = time.monotonic() - started_s
    rows.close()
    return Run(count - first, seconds, {})


class _Rows:
    """The history of the obvious build."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: sql.Engine | None = None
        self._session: Any = None

    def create(self) -> None:
        if not self._url.startswith("cassandra"):
            self._engine = make_engine(self._url, WITHIN_S)
            obvious.history_tables.create_all(self._engine)
            return
        from cassandra.cluster import Cluster  # not there where the real profile is not

        found = urlsplit(self._url)
        self._session = Cluster([found.hostname], port=found.port).connect(found.path.strip("/"))
        for statement in obvious.HISTORY_CQL:
            self._session.execute(statement, timeout=WITHIN_S)

    def count(self) -> int:
        if self._engine is not None:
            with self._engine.connect() as connection:
                return int(connection.execute(sql.select(sql.func.count()).select_from(obvious.history)).scalar_one())
        return int(self._session.execute("SELECT COUNT(*) FROM obvious_history_by_user").one()[0])

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._session is not None:
            self._session.cluster.shutdown()


def _environ(stage: Stage, topic: str) -> dict[str, str]:
    settings = stage.settings
    return {
        **stage.stack.environ,
        "OBVIOUS_KAFKA": settings.kafka_bootstrap,
        "OBVIOUS_TOPIC": topic,
        "OBVIOUS_BROKER": _database(settings.broker_url, BROKER_DATABASE),
        "OBVIOUS_REDIS": _database(settings.redis_url, LIMITS_DATABASE),
        "OBVIOUS_SQL": settings.database_url,
        "OBVIOUS_HISTORY": settings.history_url,
    }


def _database(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _fill_users(url: str) -> None:
    """Once a set."""
    engine = make_engine(url, WITHIN_S)
    obvious.tables.create_all(engine)
    with engine.begin() as connection:
        if not connection.execute(sql.select(sql.func.count()).select_from(obvious.users)).scalar_one():
            ids = [events.user(number) for number in range(events.USERS)]
            connection.execute(sql.insert(obvious.users), [{"id": one, "timezone": "UTC"} for one in ids])
            connection.execute(sql.insert(obvious.preferences), [{"user_id": one, "off": "[]"} for one in ids])
    engine.dispose()


def _publish(stage: Stage, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": stage.settings.kafka_bootstrap, "acks": "all", "linger.ms": 5})
    for number in range(count):
        given = events.event(number)
        body = {**given, "id": str(uuid.uuid4()), "channel": events.CHANNEL}
        producer.produce(topic, json.dumps(body).encode(), key=events.user(number))
    assert producer.flush(WITHIN_S) == 0


def _wait_workers(broker: str) -> None:
    inspect = Celery("look", broker=broker).control.inspect(timeout=1.0)
    wait_until(inspect.ping, "the obvious build's workers are there", WITHIN_S)


@contextmanager
def _process(environ: Mapping[str, str], *words: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=dict(environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        end(process, STOP_S)
