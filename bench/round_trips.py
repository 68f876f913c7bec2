"""What the broker and the log take by themselves: one message through Kafka, one empty task through Celery."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Final

import redis
from celery import Celery
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.stage import WITHIN_S, Stage, own_topic
from tests.support.ending import end
from tests.support.stack_client import ROOT, wait_until

TRIPS: Final = 100
DATABASE: Final = "7"
KEY: Final = "bench:echo"

echo_app = Celery("bench-echo")
echo_app.conf.update(task_ignore_result=True, task_default_queue="bench-echo")


@echo_app.task(name="echo")
def echo() -> None:
    """Tell that it ran."""
    url = echo_app.conf.broker_url
    client = redis.Redis.from_url(url)
    client.lpush(KEY, "1")
    client.close()


def kafka_round_trip_s(stage: Stage) -> float:
    """Median from produce with acks=all to the consumer's poll."""
    place = {"bootstrap.servers": stage.settings.kafka_bootstrap}
    took: list[float] = []
    with own_topic(stage, 1) as topic:
        producer = Producer({**place, "acks": "all", "linger.ms": 0})
        consumer = Consumer({**place, "group.id": topic, "fetch.wait.max.ms": 5, "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, 0, 0)])
        for _ in range(TRIPS + 1):
            started_s = time.monotonic()
            producer.produce(topic, b"x", partition=0)  # the embedded broker makes four
            producer.poll(0)
            wait_until(lambda: consumer.poll(1.0), "the message is back", WITHIN_S, look_s=0.0)
            took.append(time.monotonic() - started_s)
        consumer.close()
        producer.flush()
    return statistics.median(took[1:])


def celery_round_trip_s(stage: Stage) -> float:
    """Median from apply_async to what the task has done."""
    url = f"{stage.settings.broker_url.rpartition('/')[0]}/{DATABASE}"
    echo_app.conf.broker_url = url
    client = redis.Redis.from_url(url)
    words = ["-m", "celery", "-A", "bench.round_trips:echo_app", "-b", url, "--quiet", "worker", "-c", "1"]
    argv = [sys.executable, *words]
    worker = subprocess.Popen(
        argv, cwd=ROOT, env=stage.stack.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        took: list[float] = []
        for _ in range(TRIPS + 1):
            started_s = time.monotonic()
            echo.apply_async()
            assert client.brpop([KEY], timeout=30), "the task did not run"
            took.append(time.monotonic() - started_s)
    finally:
        end(worker, WITHIN_S)
        client.close()
    return statistics.median(took[1:])
