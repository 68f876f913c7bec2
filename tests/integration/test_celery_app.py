"""The Celery app: its configuration, what lies on a queue, and a real worker."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from celery import Celery
from kombu import Connection, Queue, pools
from kombu.utils.scheduling import cycle_by_name

import celeryconfig
from app.commands.worker import worker_argv
from app.domain.batch import BatchHead, Finished, RawBatch, RawItem
from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery
from app.domain.errors import StoreUnavailableError
from app.domain.lane import FINISHED_TOPIC, LANES, OUTCOMES_TOPIC, Priority
from app.domain.outcome import Outcome
from app.settings import Settings, child_environ
from infrastructure import wiring
from infrastructure.embedded.ready import ready_path
from infrastructure.lane_cycle import LaneCycle
from infrastructure.redis.client import make_client
from tasks import pipeline
from tasks.celery import _expand_queues, app
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually, service_settings
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
START_S = 30.0
STEPS = ["validate", "check_preferences", "limit_rate", "deliver", "record"]
SECRET = "call +4930123456 about the contract"
ALL_QUEUES = [lane.queue for lane in LANES]


# configuration


def test_the_tasks_are_the_five_steps_by_their_names() -> None:
    assert [step.name for step in pipeline.STEPS] == STEPS
    assert [name for name in app.tasks if not name.startswith("celery.")] == STEPS


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("task_acks_late", False),
        ("task_ignore_result", True),
        ("result_backend", None),
        ("task_create_missing_queues", False),
        ("task_default_exchange", ""),
        ("worker_prefetch_multiplier", 1),
        ("worker_disable_prefetch", True),
        ("broker_connection_max_retries", None),
        ("task_serializer", "notify-json"),
        ("accept_content", ["notify-json", "json"]),
    ],
)
def test_configuration_that_guarantees_rest_on(setting: str, value: object) -> None:
    assert app.conf[setting] == value


def test_the_transport_cannot_hang_and_serves_by_priority() -> None:
    options = app.conf.broker_transport_options
    assert cycle_by_name(options["queue_order_strategy"]) is LaneCycle
    assert options["priority_steps"] == [0]
    assert options["socket_timeout"] > 1
    assert options["socket_connect_timeout"] > 0
    assert options["health_check_interval"] > 0


def test_priorities_are_served_in_order_and_the_channels_of_one_in_turn(own_redis: RedisServer) -> None:
    """Messages as they lie on the queues of a worker that serves high before low."""
    served = ["high.email", "high.log", "low.email", "low.in_app", "low.log"]
    waiting = {"low.in_app": 4, "low.log": 3, "high.log": 2}
    taken: list[str] = []
    options = app.conf.broker_transport_options
    with Connection(own_redis.url(), transport_options=options) as connection:
        queues = [Queue(name, exchange="", routing_key=name) for name in served]
        producer = connection.Producer()
        for name, count in waiting.items():
            for _ in range(count):
                producer.publish({}, routing_key=name)
        consumer = connection.Consumer(queues, no_ack=True, on_message=lambda message: taken.append(_queue_of(message)))
        consumer.qos(prefetch_count=1)
        with consumer:
            while len(taken) < sum(waiting.values()):
                connection.drain_events(timeout=5)
    assert taken == ["high.log"] * 2 + ["low.in_app", "low.log"] * 3 + ["low.in_app"]


def _queue_of(message: Any) -> str:
    return str(message.delivery_info["routing_key"])


def test_there_is_a_queue_for_each_lane_and_a_name_for_each_priority() -> None:
    assert [queue.name for queue in celeryconfig.task_queues] == [*Priority, *ALL_QUEUES]
    assert {queue.exchange.name for queue in celeryconfig.task_queues} == {""}, "no binding that could be lost"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        (["high", "medium", "low"], ALL_QUEUES),
        (["low", "high"], [f"low.{lane.channel}" for lane in LANES[:7]] + ALL_QUEUES[:7]),
        (["high.email"], ["high.email"]),
        (["low.log", "high", "high.email"], ["low.log", *ALL_QUEUES[:7]]),
    ],
)
def test_a_priority_stands_for_its_lanes_in_the_order_given(asked: list[str], served: list[str]) -> None:
    fresh = Celery("fresh", config_source="celeryconfig")
    fresh.amqp.queues.select(asked)
    _expand_queues(SimpleNamespace(app=fresh))
    assert list(fresh.amqp.queues.consume_from) == served


# what lies on a queue


def batch_of(*deliveries: Delivery, life_s: float = 60.0) -> RawBatch:
    lane, now = deliveries[0].lane, now_ms()
    head = BatchHead(
        queue=lane.queue,
        topic=lane.topic,
        partition=0,
        first=now,
        last=now + len(deliveries) - 1,
        sent_at_ms=now,
        not_after_ms=now + int(life_s * 1000),
    )
    return RawBatch(head, [RawItem(now + place, msgspec.Raw(encode(one))) for place, one in enumerate(deliveries)])


@pytest.fixture
def sending(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Points this process's app to a broker."""

    def point(url: str) -> None:
        monkeypatch.setattr(app.conf, "broker_url", url)
        monkeypatch.setattr(app.conf, "broker_write_url", url)
        monkeypatch.setattr(app.conf, "broker_read_url", url)
        _forget_connections()

    yield point
    _forget_connections()


def _forget_connections() -> None:
    pools.reset()
    app._pool = None
    app.amqp._producer_pool = None


def messages(redis: RedisServer, queue: str) -> list[dict[str, Any]]:
    client = make_client(redis.url(0), 1.0)
    found: Any = client.lrange(queue, 0, -1)
    client.close()
    return [json.loads(text) for text in found]


def test_a_batch_is_one_message_that_tells_nothing_of_persons_outside_its_body(
    sending: Any, redis_server: RedisServer
) -> None:
    sending(redis_server.url(0))
    pipeline.send(batch_of(delivery(content=SECRET, user_id="anna"), delivery(content=SECRET, user_id="ben")))
    [message] = messages(redis_server, "medium.log")
    headers = json.dumps([message["headers"], message["properties"]])
    assert SECRET not in headers
    assert "anna" not in headers
    assert message["headers"]["argsrepr"] == "('medium.log', 2)"
    assert message["headers"]["kwargsrepr"] == "{}"
    assert message["headers"]["task"] == "validate"
    assert message["headers"]["eta"] is None
    assert message["headers"]["ignore_result"] is True
    assert message["properties"]["delivery_info"] == {"exchange": "", "routing_key": "medium.log"}
    body = message["body"]
    if message["properties"]["body_encoding"] == "base64":
        body = base64.b64decode(body)
    args, kwargs, embed = json.loads(body)
    assert kwargs == {}
    assert [item["delivery"]["event"]["content"] for item in args[0]["items"]] == [SECRET] * 2
    rest = embed["chain"][::-1]  # Celery keeps what follows last first
    assert [step["task"] for step in rest] == STEPS[1:]
    assert {step["options"]["queue"] for step in rest} == {"medium.log"}
    assert {step["options"]["argsrepr"] for step in rest} == {"('medium.log', 2)"}


@pytest.mark.parametrize("priority", list(Priority))
def test_a_batch_lies_on_the_queue_of_its_lane_alone(
    sending: Any, redis_server: RedisServer, priority: Priority
) -> None:
    sending(redis_server.url(0))
    pipeline.send(batch_of(delivery(priority=priority, channel="in_app")))
    lengths = {queue: len(messages(redis_server, queue)) for queue in ALL_QUEUES}
    assert lengths == dict.fromkeys(ALL_QUEUES, 0) | {f"{priority}.in_app": 1}


def test_a_broker_that_is_away_is_told_at_once(sending: Any) -> None:
    sending(f"redis://127.0.0.1:{free_port()}/0")
    started_s = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="Celery's broker"):
        pipeline.send(batch_of(delivery()))
    assert time.monotonic() - started_s < 1, "the dispatcher's loop would stand"


# a real worker


class Worker(NamedTuple):
    settings: Settings
    redis: RedisServer
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, migrated: Path, running_broker: KafkaBroker) -> Iterator[Worker]:
    """A worker of one child, started as documented, over a Redis of its own."""
    folder = tmp_path_factory.mktemp("worker")
    redis = RedisServer(folder)
    redis.start()
    settings = service_settings(folder, migrated, running_broker, redis)
    argv = worker_argv("w", ["high", "medium", "low"], 1)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=child_environ(settings), stdout=log, stderr=log)
    try:
        ready = ready_path(settings, "w")
        eventually(lambda: ready.exists() or process.poll() is not None, "the worker is ready", START_S)
        assert process.poll() is None, (folder / "log").read_text()
        yield Worker(settings, redis, process)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(START_S)
        redis.stop()
    log_text = (folder / "log").read_text()
    assert code == 0, log_text
    assert SECRET not in log_text


def pushes(redis: RedisServer) -> int:
    """How often anything was put on a queue."""
    client = make_client(redis.url(0), 1.0)
    stats: Any = client.info("commandstats")
    client.close()
    return int(stats.get("cmdstat_lpush", {}).get("calls", 0))


def test_a_batch_runs_through_all_steps_as_one_message(
    sending: Any, worker: Worker, running_broker: KafkaBroker
) -> None:
    sending(worker.redis.url(0))
    before = pushes(worker.redis)
    some = [delivery(content=SECRET, user_id="anna") for _ in range(20)]
    batch = batch_of(*some)
    pipeline.send(batch)

    def finished() -> list[Finished]:
        records = [decode(record.value, Finished) for record in running_broker.records(FINISHED_TOPIC)]
        return [record for record in records if record.first == batch.head.first]

    eventually(finished, "the finished record")
    [record] = finished()
    assert record.open == []
    assert pushes(worker.redis) - before == 1, "no step was put on a queue again"
    assert messages(worker.redis, "medium.log") == []
    ids = {one.id for one in some}
    outcomes = [decode(one.value, Outcome) for one in running_broker.records(OUTCOMES_TOPIC)]
    assert {one.delivery_id: str(one.status) for one in outcomes if one.delivery_id in ids} == dict.fromkeys(
        ids, "sent"
    )


def test_the_worker_serves_every_lane_high_first(sending: Any, worker: Worker) -> None:
    sending(worker.redis.url(0))
    replies = app.control.inspect(timeout=5.0, limit=1).active_queues()
    [queues] = replies.values()
    assert [queue["name"] for queue in queues] == ALL_QUEUES
    assert wiring.worker_registry(worker.settings).children() == dict.fromkeys(ALL_QUEUES, 1)


def test_a_copy_that_was_read_too_late_is_dropped_without_a_word(
    sending: Any, worker: Worker, running_broker: KafkaBroker
) -> None:
    sending(worker.redis.url(0))
    stale, fresh = batch_of(delivery(), life_s=-1.0), batch_of(delivery(priority=Priority.LOW))
    pipeline.send(stale)
    pipeline.send(fresh)

    def firsts() -> list[int]:
        return [decode(record.value, Finished).not_after_ms for record in running_broker.records(FINISHED_TOPIC)]

    eventually(lambda: fresh.head.not_after_ms in firsts(), "the one behind it")
    assert stale.head.not_after_ms not in firsts()
    assert messages(worker.redis, "medium.log") == []


def test_a_worker_outlives_its_broker(sending: Any, worker: Worker, running_broker: KafkaBroker) -> None:
    sending(worker.redis.url(0))
    worker.redis.stop()
    time.sleep(1.0)
    assert worker.process.poll() is None
    worker.redis.start()
    batch = batch_of(delivery(priority=Priority.HIGH))
    pipeline.send(batch)
    eventually(
        lambda: any(
            decode(record.value, Finished).not_after_ms == batch.head.not_after_ms
            for record in running_broker.records(FINISHED_TOPIC)
        ),
        "the batch after the restart",
        START_S,
    )


def test_a_queue_that_is_none_is_named_and_ends_the_worker(tmp_path: Path) -> None:
    settings = Settings.load({"NOTIFY_STATE_DIR": str(tmp_path), "NOTIFY_REDIS_PORT": str(free_port())})
    ended = subprocess.run(
        worker_argv("w", ["high", "high.fax"], 1),
        cwd=ROOT,
        env=child_environ(settings),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert ended.returncode != 0
    assert "ImproperlyConfigured" in ended.stderr
    assert "queue 'high.fax' isn't" in ended.stderr.replace("\n", " ")
