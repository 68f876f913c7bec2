"""Ports Claims and Cancels: the state of every delivery under way, one Redis key each (format: claims.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.codec import encode
from app.domain.ports import Permit, Taken
from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

    from app.domain.ports import Claimable

_SCRIPT = Path(__file__).with_name("claims.lua").read_text()


class RedisClaims:
    """Both ports over one Lua script: each call is one round trip, whatever the number of deliveries."""

    def __init__(self, client: Redis, *, ttl_s: float) -> None:
        self._script = client.register_script(_SCRIPT)
        self._ttl_ms = int(ttl_s * 1000)

    def take(self, wanted: Sequence[Claimable], *, owner: str, until_ms: int, alone: bool) -> list[Taken]:
        """See `app.domain.ports.Claims`."""
        found = self._run(
            [delivery_id for delivery_id, _, _ in wanted],
            [
                *("take", owner, until_ms, int(alone), self._ttl_ms, _notifications(wanted)),
                *(pass_no for _, pass_no, _ in wanted),
            ],
        )
        return [Taken(state=state, crashes=crashes, answer=answer) for state, crashes, answer in found]

    def advance(
        self,
        *,
        owner: str,
        until_ms: int,
        answered: Sequence[tuple[str, int, str]],
        calling: Sequence[Claimable],
    ) -> list[Permit]:
        """See `app.domain.ports.Claims`."""
        arguments: list[Any] = ["advance", owner, until_ms, self._ttl_ms, len(answered), _notifications(calling)]
        for _, pass_no, verdict in answered:
            arguments += (pass_no, verdict)
        arguments += [pass_no for _, pass_no, _ in calling]
        keys = [delivery_id for delivery_id, _, _ in (*answered, *calling)]
        return [
            Permit(may_call=False, verdict=found) if isinstance(found, str) else Permit(may_call=bool(found))
            for found in self._run(keys, arguments)
        ]

    def done(self, finals: Sequence[tuple[str, int, str]], *, owner: str = "") -> None:
        """See `app.domain.ports.Claims`."""
        arguments: list[Any] = ["done", self._ttl_ms, owner]
        for _, pass_no, status in finals:
            arguments += (pass_no, status)
        self._run([delivery_id for delivery_id, _, _ in finals], arguments)

    def release(self, delivery_ids: Sequence[str], *, owner: str, as_crash: bool = False) -> None:
        """See `app.domain.ports.Claims`."""
        self._run(list(delivery_ids), ["release", owner, int(as_crash), self._ttl_ms])

    def cancel(self, notification_id: str, delivery_ids: Sequence[str], *, life_s: float) -> list[bool]:
        """See `app.domain.ports.Cancels`."""
        found = self._call(list(delivery_ids), ["cancel", notification_id, int(life_s * 1000)])
        return [bool(is_free) for is_free in found]

    def _run(self, delivery_ids: list[str], arguments: list[Any]) -> Any:
        return self._call(delivery_ids, arguments) if delivery_ids else []

    def _call(self, delivery_ids: list[str], arguments: list[Any]) -> Any:
        with store_errors():
            return self._script(keys=[f"claim:{delivery_id}" for delivery_id in delivery_ids], args=arguments)


def _notifications(wanted: Sequence[Claimable]) -> str:
    """As one argument, which the script reads only where anything is cancelled."""
    return encode([notification_id for _, _, notification_id in wanted]).decode()
