"""The rows of the campaign: one fault each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.faults.campaign import mariadb_down
from tests.faults.campaign.scene import Scene

#: Bytes Celery's broker may take where it is full.
FULL_BYTES = 2_000_000
#: Shortest time without a quorum, in the quick form.
NO_QUORUM_S = 8.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault: `fault` does it and returns when it is over; one round of a long one is enough.

    `cuts_calls_off`: it takes workers, or what they have claimed, away, so that calls under way may be repeated.
    `cuts_intake`: it takes what a request waits for away, so that events are accepted later than they are posted.
    `is_quick`: one of those that CI has the time for, which are of every kind but those that last.
    `through`: straight to the services, or through toxiproxy. `before` makes ready, before there is load.
    """

    name: str
    text: str
    fault: Callable[[Scene], None]
    is_long: bool = False
    cuts_calls_off: bool = False
    cuts_intake: bool = False
    through: Literal["direct", "proxy"] = "direct"
    before: Callable[[Scene], None] = lambda _scene: None
    check: Callable[[Scene], None] = lambda _scene: None
    is_quick: bool = False


def _kill(part: str) -> Callable[[Scene], None]:
    return lambda scene: scene.kill(part)


def _kill_service(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.kill_service(name)


def _stand_still(part: str) -> Callable[[Scene], None]:
    return lambda scene: scene.stand_still(part, 30.0)


def _flush(name: str) -> Callable[[Scene], None]:
    return lambda scene: scene.flush(name)


def _kill_kafka(scene: Scene) -> None:
    scene.kill_service("kafka-2")


def _full_broker(scene: Scene) -> None:
    client = scene.redis("redis-broker")
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", str(min(used, FULL_BYTES)))
    try:
        time.sleep(scene.seconds(20.0))
    finally:
        client.config_set("maxmemory", "0")


def _rolling_restart(scene: Scene) -> None:
    for node in (1, 2, 3):
        service = scene.service(f"kafka-{node}")
        service.stop()
        service.start()
        scene.wait_kafka_whole()


def _two_brokers_down(scene: Scene) -> None:
    refused = scene.load.refused
    with scene.down("kafka-2", "kafka-3"):
        # Intake waits `NOTIFY_INTAKE_TIMEOUT_S` before it says 503.
        time.sleep(max(NO_QUORUM_S, scene.seconds(20.0)))
    scene.wait_kafka_whole()
    assert scene.load.refused > refused, "nobody was told 503 while Kafka had no quorum"


def _cassandra_down(scene: Scene) -> None:
    with scene.down("cassandra"):
        time.sleep(scene.seconds(60.0))


def _half_open(*proxies: str) -> Callable[[Scene], None]:
    def fault(scene: Scene) -> None:
        with scene.half_open(*proxies):
            time.sleep(scene.seconds(20.0))

    return fault


_ALL: tuple[Row, ...] = (
    Row(name="api", is_quick=True, text="kill -9 of the HTTP service", fault=_kill("api"), cuts_intake=True),
    Row(name="router", is_quick=True, text="kill -9 of both routers", fault=_kill("router")),
    Row(name="router-1-of-2", text="kill -9 of one router of two", fault=_kill("router-1")),
    Row(name="dispatcher", text="kill -9 of both dispatchers", fault=_kill("dispatcher")),
    Row(name="dispatcher-1-of-2", is_quick=True, text="kill -9 of one dispatcher of two", fault=_kill("dispatcher-1")),
    Row(name="tracker", is_quick=True, text="kill -9 of both trackers", fault=_kill("tracker")),
    Row(name="scheduler", text="kill -9 of both schedulers", fault=_kill("scheduler")),
    Row(
        name="worker-parent",
        text="kill -9 of a worker parent",
        fault=_kill("worker"),
        cuts_calls_off=True,
    ),
    Row(
        name="worker-child",
        is_quick=True,
        text="kill -9 of a worker child",
        fault=lambda scene: scene.kill_child("worker"),
        cuts_calls_off=True,
    ),
    Row(name="redis-broker", is_quick=True, text="kill -9 of Celery's Redis", fault=_kill_service("redis-broker")),
    Row(
        name="redis-state",
        is_quick=True,
        text="kill -9 of the Redis of claims and limits",
        fault=_kill_service("redis-state"),
    ),
    Row(name="kafka", is_quick=True, text="kill -9 of one Kafka broker of three", fault=_kill_kafka),
    Row(name="mariadb", is_quick=True, text="kill -9 of MariaDB", fault=_kill_service("mariadb")),
    Row(name="cassandra", text="kill -9 of Cassandra", fault=_kill_service("cassandra")),
    Row(
        name="dispatcher-stands",
        text="SIGSTOP of one dispatcher of two, SIGCONT after 30 s",
        fault=_stand_still("dispatcher-1"),
    ),
    Row(
        name="router-stands",
        text="SIGSTOP of one router of two, SIGCONT after 30 s",
        fault=_stand_still("router-1"),
    ),
    Row(
        name="worker-stands",
        text="SIGSTOP of a pool, SIGCONT after 30 s",
        fault=_stand_still("worker"),
        cuts_calls_off=True,
    ),
    Row(name="flush-broker", text="FLUSHALL of Celery's Redis", fault=_flush("redis-broker")),
    Row(
        name="flush-state",
        is_quick=True,
        text="FLUSHALL of the Redis of claims and limits",
        fault=_flush("redis-state"),
        cuts_calls_off=True,
    ),
    Row(name="broker-full", text="Celery's Redis at maxmemory for 20 s", fault=_full_broker),
    Row(
        name="kafka-rolling",
        text="the three Kafka brokers restarted one after the other",
        fault=_rolling_restart,
        cuts_intake=True,
        is_long=True,
    ),
    Row(
        name="kafka-no-quorum",
        text="two Kafka brokers of three down for 20 s",
        fault=_two_brokers_down,
        cuts_intake=True,
    ),
    Row(name="cassandra-60s", text="Cassandra down for 60 s", fault=_cassandra_down, is_long=True),
    Row(
        name="mariadb-60s",
        text="MariaDB down for 60 s",
        fault=mariadb_down.fault,
        is_long=True,
        before=mariadb_down.before,
        check=mariadb_down.check,
    ),
    Row(
        name="half-open-redis-broker",
        text="half-open connections to Celery's Redis for 20 s",
        fault=_half_open("redis-broker"),
        through="proxy",
    ),
    Row(
        name="half-open-redis-state",
        text="half-open connections to the Redis of claims and limits for 20 s",
        fault=_half_open("redis-state"),
        through="proxy",
    ),
    Row(
        name="half-open-kafka",
        text="half-open connections to all three Kafka brokers for 20 s",
        fault=_half_open("kafka-1", "kafka-2", "kafka-3"),
        cuts_intake=True,
        through="proxy",
    ),
    Row(
        name="half-open-kafka-1-of-3",
        text="half-open connections to one Kafka broker for 20 s",
        fault=_half_open("kafka-1"),
        through="proxy",
    ),
)

ROWS: Mapping[str, Row] = {row.name: row for row in _ALL}
