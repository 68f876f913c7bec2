"""Ports Claims and Cancels: the state of every delivery under way, one Redis key each (format: claims.lua)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.ports import Permit, Taken
from infrastructure.redis.client import store_errors
from infrastructure.redis.server_clock import ServerClock

if TYPE_CHECKING:
    from redis import Redis

    from app.domain.ports import Claimable

_SCRIPT = Path(__file__).with_name("claims.lua").read_text()
#: What claims.lua answers for a call that it was asked about too late.
_LATE = -1
#: How often `advance` asks: again where it was late itself, for then it has been told what time it is.
_TRIES = 2


class RedisClaims:
    """Both ports over one Lua script: each call is one round trip, whatever the number of deliveries.

    A Redis that hangs does later what it was asked, when nobody waits for the answer any more: a call would be marked
    that nobody makes. So `advance` has a deadline, the moment this process gives up. It is told by Redis's clock, the
    only one that is there when the script runs, and never compared with this machine's time of day: it is what Redis
    last said, what has passed here since, and the time an answer may take. Redis said it before its answer was here, so
    that this clock is rather behind than ahead: a mark after giving up is impossible, one refused too early is asked
    for again.
    """

    def __init__(self, client: Redis, *, ttl_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._script = client.register_script(_SCRIPT)
        self._ttl_ms = int(ttl_s * 1000)
        self._clock = ServerClock(client, monotonic)

    def take(self, wanted: Sequence[Claimable], *, owner: str, until_ms: int, alone: bool) -> list[Taken]:
        """See `app.domain.ports.Claims`."""
        found = self._run_timed(
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
        head = ("advance", owner, until_ms, self._ttl_ms, len(answered), _notifications(calling))
        passes: list[Any] = [of_one for _, pass_no, verdict in answered for of_one in (pass_no, verdict)]
        passes += [pass_no for _, pass_no, _ in calling]
        keys = [delivery_id for delivery_id, _, _ in (*answered, *calling)]
        for _ in range(_TRIES):
            found = self._run_timed(keys, [*head, self._clock.deadline_ms() if calling else 0, *passes])
            if _LATE not in found:
                return [
                    Permit(may_call=False, verdict=one) if isinstance(one, str) else Permit(may_call=bool(one))
                    for one in found
                ]
        raise StoreUnavailableError("redis: asked too late")

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

    def _run_timed(self, delivery_ids: list[str], arguments: list[Any]) -> list[Any]:
        """What an operation answers that tells the time, too."""
        if not delivery_ids:
            return []
        redis_ms, found = self._call(delivery_ids, arguments)
        self._clock.told(redis_ms)
        return list(found)

    def _call(self, delivery_ids: list[str], arguments: list[Any]) -> Any:
        with store_errors():
            return self._script(keys=[f"claim:{delivery_id}" for delivery_id in delivery_ids], args=arguments)


def _notifications(wanted: Sequence[Claimable]) -> str:
    """As one argument, which the script reads only where anything is cancelled."""
    return encode([notification_id for _, _, notification_id in wanted]).decode()
