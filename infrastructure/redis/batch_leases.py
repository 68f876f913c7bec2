"""Port BatchLeases: which batches of a channel are out, known to all dispatchers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from redis import Redis

from app.domain.clock import now_ms
from app.domain.lane import Lane
from infrastructure.redis.client import store_errors

_SCRIPT = Path(__file__).with_name("batch_leases.lua").read_text()


class RedisBatchLeases:
    """The port over one Lua script. Raises StoreUnavailableError."""

    def __init__(self, client: Redis, clock_ms: Callable[[], int] = now_ms) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)
        self._clock_ms = clock_ms

    def take(self, lane: Lane, partition: int, *, until_ms: int, bound: int, others_wait: bool) -> bool:
        """See `app.domain.ports.BatchLeases`."""
        arguments: list[int | str] = [self._clock_ms(), _member(lane, partition), until_ms, bound, int(others_wait)]
        with store_errors():
            return bool(self._script(keys=[_key(lane)], args=arguments))

    def give_back(self, lane: Lane, partition: int) -> None:
        """See `app.domain.ports.BatchLeases`."""
        with store_errors():
            self._client.zrem(_key(lane), _member(lane, partition))


def _key(lane: Lane) -> str:
    return f"out:{lane.channel}"


def _member(lane: Lane, partition: int) -> str:
    return f"{lane.priority}|{lane.topic}|{partition}"
