"""Port Claims: the state of every delivery under way, one Redis key each (format: claims.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.ports import Taken
from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

_SCRIPT = Path(__file__).with_name("claims.lua").read_text()


class RedisClaims:
    """The port over one Lua script: each call is one round trip, whatever the number of deliveries."""

    def __init__(self, client: Redis, *, ttl_s: float) -> None:
        self._script = client.register_script(_SCRIPT)
        self._ttl_ms = int(ttl_s * 1000)

    def take(self, wanted: Sequence[tuple[str, int]], *, owner: str, until_ms: int, alone: bool) -> list[Taken]:
        """See `app.domain.ports.Claims`."""
        found = self._run(
            [delivery_id for delivery_id, _ in wanted],
            ["take", owner, until_ms, int(alone), self._ttl_ms, *(pass_no for _, pass_no in wanted)],
        )
        return [Taken(state=state, crashes=crashes, answer=answer) for state, crashes, answer in found]

    def advance(
        self,
        *,
        owner: str,
        until_ms: int,
        answered: Sequence[tuple[str, int, str]],
        calling: Sequence[tuple[str, int]],
    ) -> list[bool]:
        """See `app.domain.ports.Claims`."""
        arguments: list[Any] = ["advance", owner, until_ms, self._ttl_ms, len(answered)]
        for _, pass_no, verdict in answered:
            arguments += (pass_no, verdict)
        arguments += [pass_no for _, pass_no in calling]
        keys = [delivery_id for delivery_id, _, _ in answered] + [delivery_id for delivery_id, _ in calling]
        return [bool(may) for may in self._run(keys, arguments)]

    def done(self, finals: Sequence[tuple[str, int, str]], *, owner: str = "") -> None:
        """See `app.domain.ports.Claims`."""
        arguments: list[Any] = ["done", self._ttl_ms, owner]
        for _, pass_no, status in finals:
            arguments += (pass_no, status)
        self._run([delivery_id for delivery_id, _, _ in finals], arguments)

    def release(self, delivery_ids: Sequence[str], *, owner: str, as_crash: bool = False) -> None:
        """See `app.domain.ports.Claims`."""
        self._run(list(delivery_ids), ["release", owner, int(as_crash), self._ttl_ms])

    def _run(self, delivery_ids: list[str], arguments: list[Any]) -> Any:
        if not delivery_ids:
            return []
        with store_errors():
            return self._script(keys=[f"claim:{delivery_id}" for delivery_id in delivery_ids], args=arguments)
