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
#: Seconds after which it is forgotten: each that was killed leaves a name, and where names are made anew (containers)
#: there would be ever more. Long, so that nobody is whose clock is behind.
FORGET_S = 3600.0


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
        """How many children serve each queue now. Forgets workers that are long gone."""
        with store_errors():
            found = cast("dict[str, str]", self._client.hgetall(_KEY))
        counts: Counter[str] = Counter()
        long_gone: list[str] = []
        now = time.time()
        for name, text in found.items():
            record = msgspec.json.decode(text, type=_Announced)
            if record.at >= now - WORKER_TTL_S:
                counts.update(dict.fromkeys(record.queues, record.children))
            elif record.at < now - FORGET_S:
                long_gone.append(name)
        if long_gone:
            with store_errors():
                self._client.hdel(_KEY, *long_gone)
        return counts
