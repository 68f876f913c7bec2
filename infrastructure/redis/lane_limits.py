"""Port LaneLimits: global, per-channel and per-priority limits, shared by all dispatchers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis import Redis

from app.domain.gcra import LaneLimit
from app.domain.limit_rules import LaneLimitTable
from app.domain.ports import Pace
from infrastructure.redis.client import store_errors

_SCRIPT = Path(__file__).with_name("lane_limits.lua").read_text()


class RedisLaneLimits:
    """The port over one Lua script; lanes without limits never ask Redis. `now_us` other than 0 is for tests."""

    def __init__(self, client: Redis, lanes: LaneLimitTable) -> None:
        self._script = client.register_script(_SCRIPT)
        self._keys = {
            queue: [f"limit:{one.key}" for limit in limits for one in (limit.whole, *limit.parts)]
            for queue, limits in lanes.items()
        }
        self._rates = {
            queue: [number for limit in limits for number in numbers_of(limit, limit.pace)]
            for queue, limits in lanes.items()
        }

    def ask(self, queue: str, wanted: int, *, now_us: int = 0) -> Pace:
        """See `app.domain.ports.LaneLimits`. Raises StoreUnavailableError; then what was asked may be taken."""
        keys = self._keys.get(queue)
        if not keys:
            return Pace(granted=wanted)
        with store_errors():
            answer: Any = self._script(keys=keys, args=[now_us, wanted, *self._rates[queue]])
        granted, wait_us = answer
        return Pace(granted=granted, retry_after_s=wait_us / 1_000_000)


def numbers_of(limit: LaneLimit, pace: int) -> Iterator[int]:
    """What the script is told of a limit: four numbers for each of its keys. Who is held waits for `pace` of it."""
    yield from (limit.whole.rate.interval_us, limit.whole.rate.burst, pace, len(limit.parts))
    for part in limit.parts:
        yield from (part.rate.interval_us, part.rate.burst, 0, 0)
