"""Port BatchLeases: which batches of a channel are out, known to all dispatchers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from redis import Redis

from app.domain.lane import Lane
from infrastructure.redis.client import store_errors

#: How long the next place is kept for one that was refused, if it asks no more.
TURN_MS: Final = 200

_SCRIPT: Final = Path(__file__).with_name("batch_leases.lua").read_text()


class RedisBatchLeases:
    """The port over one Lua script. Raises StoreUnavailableError."""

    def __init__(self, client: Redis) -> None:
        self._script = client.register_script(_SCRIPT)

    def take(
        self, lane: Lane, partition: int, *, not_after_ms: int, life_ms: int, bound: int, others_wait: bool
    ) -> bool:
        """See `app.domain.ports.BatchLeases`."""
        return self._run(
            lane, ["take", _field(lane, partition), not_after_ms, life_ms, bound, int(others_wait), TURN_MS]
        )

    def give_back(self, lane: Lane, partition: int, *, not_after_ms: int) -> None:
        """See `app.domain.ports.BatchLeases`."""
        self._run(lane, ["give back", _field(lane, partition), not_after_ms])

    def _run(self, lane: Lane, arguments: list[str | int]) -> bool:
        keys = [f"out:{lane.channel}", f"out:{lane.channel}:turn:high", f"out:{lane.channel}:turn:others"]
        with store_errors():
            return bool(self._script(keys=keys, args=arguments))


def _field(lane: Lane, partition: int) -> str:
    return f"{lane.priority}|{lane.topic}|{partition}"
