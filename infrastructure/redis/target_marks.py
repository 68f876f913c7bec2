"""Port TargetMarks: a hash beside the claim of each delivery that goes to devices (format: target_marks.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.errors import StoreUnavailableError
from app.domain.ports import Mark, TargetKey
from infrastructure.redis.client import store_errors
from infrastructure.redis.server_clock import ServerClock

if TYPE_CHECKING:
    from redis import Redis

_SCRIPT = Path(__file__).with_name("target_marks.lua").read_text()
#: What the script answers for a call that it was asked about too late.
_LATE = -1
#: How often `note` asks: again where it was late itself, for then it has been told what time it is.
_TRIES = 2


class RedisTargetMarks:
    """The port over one Lua script: each call is one round trip, whatever the number of targets."""

    def __init__(self, client: Redis, *, ttl_s: float) -> None:
        self._script = client.register_script(_SCRIPT)
        self._ttl_ms = int(ttl_s * 1000)
        self._clock = ServerClock(client)

    def find(self, delivery_ids: Sequence[str]) -> list[list[Mark]]:
        """See `app.domain.ports.TargetMarks`."""
        if not delivery_ids:
            return []
        found = self._call([_hash(one) for one in delivery_ids], ["find", self._ttl_ms])
        return [[_mark(target, value) for target, value in zip(one[::2], one[1::2], strict=True)] for one in found]

    def note(
        self, *, owner: str, answered: Sequence[tuple[TargetKey, str]], starting: Sequence[TargetKey]
    ) -> list[bool]:
        """See `app.domain.ports.TargetMarks`."""
        if not answered and not starting:
            return []
        keys = [_hash(key.delivery_id) for key in (*(key for key, _ in answered), *starting)]
        keys += [f"claim:{key.delivery_id}" for key in starting]
        marks: list[Any] = [part for key, result in answered for part in (key.pass_no, key.target_id, result)]
        marks += [part for key in starting for part in (key.pass_no, key.target_id)]
        for _ in range(_TRIES):
            deadline_ms = self._clock.deadline_ms() if starting else 0
            redis_ms, may = self._call(keys, ["note", self._ttl_ms, owner, deadline_ms, len(answered), *marks])
            self._clock.told(redis_ms)
            if _LATE not in may:
                return [bool(one) for one in may]
        raise StoreUnavailableError("redis: asked too late")

    def take_back(self, keys: Sequence[TargetKey], *, owner: str) -> None:
        """See `app.domain.ports.TargetMarks`."""
        if keys:
            self._call([_hash(key.delivery_id) for key in keys], ["take_back", owner, *(key.target_id for key in keys)])

    def _call(self, keys: list[str], arguments: list[Any]) -> Any:
        with store_errors():
            return self._script(keys=keys, args=arguments)


def _hash(delivery_id: str) -> str:
    return f"targets:{delivery_id}"


def _mark(target: str, value: str) -> Mark:
    pass_no, _, _, result = value.split("|", 3)
    return Mark(target, int(pass_no), result)
