"""Which queues how many worker children serve: announced by each worker, read by the dispatcher."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

_KEY = "workers"
#: Seconds after which a worker that announces nothing counts as gone; it announces every third of it.
WORKER_TTL_S = 15.0


class _Announced(msgspec.Struct):
    queues: list[str]
    children: int
    at: float


class WorkerRegistry:
    """One hash, a field a worker. Raises StoreUnavailableError."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def announce(self, name: str, queues: Sequence[str], children: int) -> None:
        """Say that the worker `name` serves these queues with that many children."""
        record = _Announced(list(queues), children, time.time())
        with store_errors():
            self._client.hset(_KEY, name, msgspec.json.encode(record).decode())

    def withdraw(self, name: str) -> None:
        """The worker has stopped."""
        with store_errors():
            self._client.hdel(_KEY, name)

    def children(self) -> Counter[str]:
        """How many children serve each queue now."""
        with store_errors():
            found = cast("dict[str, str]", self._client.hgetall(_KEY))
        counts: Counter[str] = Counter()
        oldest = time.time() - WORKER_TTL_S
        for text in found.values():
            record = msgspec.json.decode(text, type=_Announced)
            if record.at >= oldest:
                counts.update(dict.fromkeys(record.queues, record.children))
        return counts
