"""Port LimitBook: what `lane_limits.lua` and `user_limits.lua` have written, read without taking anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis import Redis

from app.domain.ports import LimitsSeen
from infrastructure.redis.client import store_errors

#: A script so that all is of one moment, and one round trip. Without keys it still tells whether Redis answers.
_SCRIPT: Final = """
local t = redis.call('TIME')
local tats = {}
for i, key in ipairs(KEYS) do tats[i] = redis.call('GET', key) or '0' end
return {t[1], t[2], tats}
"""


class RedisLimitBook:
    """The port. `now_us` other than 0 is for tests."""

    def __init__(self, client: Redis) -> None:
        self._script = client.register_script(_SCRIPT)

    def peek(self, keys: Sequence[str], *, now_us: int = 0) -> LimitsSeen:
        """See `app.domain.ports.LimitBook`. Raises StoreUnavailableError."""
        names = list(dict.fromkeys(keys))
        with store_errors():
            answer: Any = self._script(keys=[f"limit:{name}" for name in names])
        seconds, micros, tats = answer
        return LimitsSeen(
            now_us=now_us or int(seconds) * 1_000_000 + int(micros),
            tats=dict(zip(names, map(int, tats), strict=True)),
        )
