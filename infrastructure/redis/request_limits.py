"""Port RequestLimits: how many requests an API key may make, shared by all HTTP processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Redis

from app.domain.ports import Allowance
from app.domain.rate import Rate
from app.domain.request_limits import allowance, request_limit
from infrastructure.redis.client import store_errors

_SCRIPT = Path(__file__).with_name("request_limits.lua").read_text()


class RedisRequestLimits:
    """The port over one Lua script: one round trip a request."""

    def __init__(self, client: Redis) -> None:
        self._script = client.register_script(_SCRIPT)

    def ask(self, key_id: str, rate: Rate, *, now_us: int = 0) -> Allowance:
        """See `app.domain.ports.RequestLimits`. `now_us` other than 0 is for tests."""
        keys = [f"limit:{request_limit(key_id, rate).key}"]
        with store_errors():
            answer: Any = self._script(keys=keys, args=[now_us, rate.interval_us, rate.burst])
        is_granted, ahead_us = answer
        return allowance(ahead_us, rate, is_granted=bool(is_granted))
