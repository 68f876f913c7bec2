"""What lies in Celery's broker: copies of batches, read without taking them."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

from app.domain.lane import LANES
from tests.support.stack_client import StackClient


class Waiting(NamedTuple):
    """One message: a copy of the batch that starts at `first` of a partition."""

    queue: str
    topic: str
    partition: int
    first: int
    size: int


def waiting(stack: StackClient) -> list[Waiting]:
    """All messages of all lanes' queues."""
    client = redis.Redis(port=stack.redis_port, db=0)
    try:
        return [_read(lane.queue, text) for lane in LANES for text in _list(client, lane.queue)]
    finally:
        client.close()


def _list(client: redis.Redis, queue: str) -> Iterator[bytes]:
    found: Any = client.lrange(queue, 0, -1)
    yield from found


def _read(queue: str, text: bytes) -> Waiting:
    message = json.loads(text)
    body = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        body = b64decode(body)
    [args, *_] = json.loads(body)
    head = args[0]["head"]
    return Waiting(queue, head["topic"], head["partition"], head["first"], len(text))
