"""Kafka topics of a running set, written and read past the service."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from app.domain.clock import now_ms
from app.domain.ports import RawRecord
from infrastructure.kafka.event_log import headers_of
from tests.support.stack_client import StackClient

CALL_S = 10.0


class Found(NamedTuple):
    """A record read from a topic."""

    value: bytes
    headers: dict[str, bytes]


def raw_headers(notification_id: str) -> dict[str, bytes]:
    """The headers of a sound record on `notifications.raw`."""
    return headers_of(RawRecord(id=notification_id, user_id="", event_type="note", accepted_at_ms=now_ms(), body=b""))


def write(stack: StackClient, topic: str, value: bytes, headers: Mapping[str, bytes], key: str = "key") -> None:
    """Write one record and wait for its ack."""
    producer = Producer({"bootstrap.servers": stack.endpoints()["kafka_bootstrap"], "message.max.bytes": 1_000_000})
    failed: list[object] = []
    producer.produce(
        topic,
        value,
        key,
        headers=dict(headers),
        on_delivery=lambda error, _: failed.append(error) if error else None,
    )
    assert producer.flush(CALL_S) == 0
    assert not failed


def read_all(stack: StackClient, topic: str) -> list[Found]:
    """Everything on the topic now."""
    consumer = Consumer({"bootstrap.servers": stack.endpoints()["kafka_bootstrap"], "group.id": "tests"})
    try:
        numbers = consumer.list_topics(topic, timeout=CALL_S).topics[topic].partitions
        parts = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
        marks = [consumer.get_watermark_offsets(part, timeout=CALL_S) for part in parts]
        wanted = sum(high - low for low, high in marks)
        consumer.assign(parts)
        found: list[Found] = []
        deadline = time.monotonic() + CALL_S
        while len(found) < wanted:
            assert time.monotonic() < deadline, f"{topic} could not be read"
            messages = consumer.consume(500, 0.1)
            found += [Found(one.value() or b"", dict(one.headers() or [])) for one in messages if one.error() is None]
        return found
    finally:
        consumer.close()
