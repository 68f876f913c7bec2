"""The obvious build, to be measured against: Kafka -> one Celery chain per notification -> a row in the history.

What most would write first, and well enough: each step a task through the broker, JSON, one row read or written at a
time, prepared statements, connections kept, results ignored. Written once and frozen: it is the measure of
`python -m bench`, and is not to be made faster or slower.

`celery -A bench.obvious worker` works; `python -m bench.obvious` reads Kafka. Environment: OBVIOUS_KAFKA,
OBVIOUS_TOPIC, OBVIOUS_BROKER, OBVIOUS_REDIS, OBVIOUS_SQL (SQLAlchemy URLs), OBVIOUS_HISTORY (cassandra://host:port/
keyspace, or another SQLAlchemy URL).
"""

from __future__ import annotations

import functools
import json
import logging
import os
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import redis
import sqlalchemy as sql
from celery import Celery, Task, chain
from confluent_kafka import Consumer

PER_MINUTE = 1000
CHANNELS = frozenset({"log"})

logger = logging.getLogger(__name__)

# It knows nothing of the product's settings: what it needs is in variables of its own.
ENVIRON = os.environ  # noqa: TID251 - see above

app = Celery("obvious", broker=ENVIRON.get("OBVIOUS_BROKER", ""))
app.conf.update(task_ignore_result=True, task_default_queue="obvious", broker_connection_retry_on_startup=True)

tables = sql.MetaData()
users = sql.Table(
    "obvious_users",
    tables,
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("timezone", sql.String(64), nullable=False),
)
preferences = sql.Table(
    "obvious_preferences",
    tables,
    sql.Column("user_id", sql.String(64), primary_key=True),
    sql.Column("off", sql.Text, nullable=False),
)
history_tables = sql.MetaData()
history = sql.Table(
    "obvious_history",
    history_tables,
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("user_id", sql.String(64), nullable=False, index=True),
    sql.Column("event_type", sql.String(64), nullable=False),
    sql.Column("status", sql.String(16), nullable=False),
    sql.Column("at_ms", sql.BigInteger, nullable=False),
    sql.Column("event", sql.Text, nullable=False),
)
HISTORY_CQL = (
    """CREATE TABLE IF NOT EXISTS obvious_history (
         id text PRIMARY KEY, user_id text, event_type text, status text, at_ms bigint, event text)""",
    """CREATE TABLE IF NOT EXISTS obvious_history_by_user (
         user_id text, at_ms bigint, id text, event_type text, status text, PRIMARY KEY (user_id, at_ms, id)
       ) WITH CLUSTERING ORDER BY (at_ms DESC, id ASC)""",
)


@functools.cache
def engine(variable: str) -> sql.Engine:
    """The database, by the variable that names it; made after the fork."""
    made = sql.create_engine(ENVIRON[variable], pool_pre_ping=False)
    if made.dialect.name == "sqlite":

        @sql.event.listens_for(made, "connect")
        def _set_up(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000"):
                connection.execute(f"PRAGMA {pragma}")

    return made


@functools.cache
def counters() -> redis.Redis:
    """Where limits are counted."""
    return redis.Redis.from_url(ENVIRON["OBVIOUS_REDIS"])


@functools.cache
def write_history() -> Callable[[dict[str, Any], str, int], None]:
    """What puts one row into the history."""
    if not ENVIRON["OBVIOUS_HISTORY"].startswith("cassandra"):

        def insert(event: dict[str, Any], status: str, at_ms: int) -> None:
            row = {name: event[name] for name in ("id", "user_id", "event_type")}
            with engine("OBVIOUS_HISTORY").begin() as connection:
                connection.execute(
                    history.insert(), row | {"status": status, "at_ms": at_ms, "event": json.dumps(event)}
                )

        return insert
    session = cassandra_session()
    by_id = session.prepare(
        "INSERT INTO obvious_history (id, user_id, event_type, status, at_ms, event) VALUES (?, ?, ?, ?, ?, ?)"
    )
    by_user = session.prepare(
        "INSERT INTO obvious_history_by_user (user_id, at_ms, id, event_type, status) VALUES (?, ?, ?, ?, ?)"
    )

    def write(event: dict[str, Any], status: str, at_ms: int) -> None:
        key, user, kind = event["id"], event["user_id"], event["event_type"]
        session.execute(by_id, (key, user, kind, status, at_ms, json.dumps(event)))
        session.execute(by_user, (user, at_ms, key, kind, status))

    return write


@functools.cache
def cassandra_session() -> Any:
    """Connected to the keyspace."""
    from cassandra.cluster import Cluster

    url = urlsplit(ENVIRON["OBVIOUS_HISTORY"])
    return Cluster([url.hostname], port=url.port).connect(url.path.strip("/"))


@app.task(name="obvious.validate")
def validate(event: dict[str, Any]) -> dict[str, Any]:
    """The fields are there, and the user is known."""
    for field in ("id", "user_id", "event_type", "content", "channel"):
        if not event.get(field):
            raise ValueError(f"{field} is missing")
    if event["channel"] not in CHANNELS:
        raise ValueError("unknown channel")
    with engine("OBVIOUS_SQL").connect() as connection:
        found = connection.execute(sql.select(users.c.timezone).where(users.c.id == event["user_id"])).first()
    return event | {"timezone": found.timezone if found else "UTC", "status": "valid"}


@app.task(name="obvious.check_preferences")
def check_preferences(event: dict[str, Any]) -> dict[str, Any]:
    """Whether the user wants it."""
    with engine("OBVIOUS_SQL").connect() as connection:
        found = connection.execute(
            sql.select(preferences.c.off).where(preferences.c.user_id == event["user_id"])
        ).first()
    is_off = found is not None and event["channel"] in json.loads(found.off)
    return event | ({"status": "suppressed"} if is_off else {})


@app.task(name="obvious.limit_rate")
def limit_rate(event: dict[str, Any]) -> dict[str, Any]:
    """Not too many a minute."""
    if event["status"] != "valid":
        return event
    key = f"obvious:{event['user_id']}:{event['channel']}:{int(time.time() // 60)}"
    count = counters().incr(key)
    if count == 1:
        counters().expire(key, 60)
    return event | ({"status": "limited"} if count > PER_MINUTE else {})


@app.task(name="obvious.deliver")
def deliver(event: dict[str, Any]) -> dict[str, Any]:
    """Call the provider."""
    if event["status"] != "valid":
        return event
    logger.info("%s to %s: %s", event["id"], event["user_id"], event["content"])
    return event | {"status": "sent"}


@app.task(name="obvious.record")
def record(event: dict[str, Any]) -> None:
    """One row of history."""
    write_history()(event, event["status"], int(time.time() * 1000))


STEPS: tuple[Task, ...] = (validate, check_preferences, limit_rate, deliver, record)  # type: ignore[type-arg]  # celery-types makes Task generic, celery itself does not


def consume() -> None:
    """Read Kafka, and start a chain for each event; offsets are committed behind what was started."""
    consumer = Consumer(
        {
            "bootstrap.servers": ENVIRON["OBVIOUS_KAFKA"],
            "group.id": f"obvious-{uuid.uuid4().hex}",
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
        }
    )
    consumer.subscribe([ENVIRON["OBVIOUS_TOPIC"]])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        event = json.loads(message.value() or b"")
        chain(STEPS[0].s(event), *(step.s() for step in STEPS[1:])).apply_async()
        consumer.store_offsets(message)


if __name__ == "__main__":
    consume()
