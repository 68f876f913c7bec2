"""Redis's clock as this process may know it, for deadlines that a script checks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis


class ServerClock:
    """What Redis last said, and what has passed here since; rather behind than ahead (see `RedisClaims`)."""

    def __init__(self, client: Redis, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._patience_ms = int(client.get_connection_kwargs()["socket_timeout"] * 1000)
        self._monotonic = monotonic
        #: Redis's clock less ours, in ms; None while it has not been asked.
        self._ahead_ms: float | None = None

    def deadline_ms(self) -> int:
        """When this process will have given up what it is about to ask, by Redis's clock."""
        if self._ahead_ms is None:
            with store_errors():
                seconds, microseconds = self._client.time()
            self.told(seconds * 1000 + microseconds // 1000)
        return int(self._monotonic() * 1000 + (self._ahead_ms or 0.0)) + self._patience_ms

    def told(self, redis_ms: int) -> None:
        """Redis has said what time it is there."""
        self._ahead_ms = redis_ms - self._monotonic() * 1000
