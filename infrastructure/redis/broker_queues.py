"""How much lies in Celery's broker: the Redis lists that are its queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app.domain.lane import LANES
from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

_QUEUES = tuple(lane.queue for lane in LANES)


class BrokerQueues:
    """Reads the broker's Redis. Raises StoreUnavailableError."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def lengths(self) -> dict[str, int]:
        """Messages waiting, by queue."""
        return self._each(lambda pipe, queue: pipe.llen(queue))

    def sizes(self) -> dict[str, int]:
        """Bytes waiting, by queue, whoever put them there."""
        return self._each(lambda pipe, queue: pipe.memory_usage(queue, samples=0))

    def _each(self, ask: Callable[[Any, str], Any]) -> dict[str, int]:
        with store_errors():
            pipe = self._client.pipeline(transaction=False)
            for queue in _QUEUES:
                ask(pipe, queue)
            return {queue: int(answer or 0) for queue, answer in zip(_QUEUES, pipe.execute(), strict=True)}
