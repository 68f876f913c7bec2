"""Port UserLimits: per-user and per-user-per-channel limits, charged in the same call that notes it in the claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from redis import Redis

from app.domain.codec import encode
from app.domain.gcra import REFUSED, Limit
from app.domain.limit_rules import UserRates
from app.domain.ports import Charged, UserCharge
from app.domain.rate import Rate
from infrastructure.redis.client import store_errors

_SCRIPT = Path(__file__).with_name("user_limits.lua").read_text()

#: How many limits the script takes for a delivery.
_LEVELS: Final = 2


class RedisUserLimits:
    """The port over one Lua script: one round trip for a batch. `now_us` other than 0 is for tests.

    A claim that somebody else holds is not charged and answered with 'may go now': its call will not be allowed.
    A slot that has come by the time it is asked for again is answered with 'may go now', too.
    """

    def __init__(self, client: Redis, rates: UserRates) -> None:
        self._script = client.register_script(_SCRIPT)
        self._rates = rates

    def charge(self, wanted: Sequence[UserCharge], *, owner: str, now_us: int = 0) -> list[Charged]:
        """See `app.domain.ports.UserLimits`. Raises StoreUnavailableError; repeating with the same owner is safe."""
        per_delivery = [self._rates.limits(one.user_id, one.channel) for one in wanted]
        numbers = _numbered(per_delivery)
        if not numbers:
            return [Charged()] * len(wanted)
        asked = {
            "now_us": now_us,
            "owner": owner,
            "limits": [(key, rate.interval_us, rate.burst) for key, (_, rate) in numbers.items()],
            "deliveries": [
                (one.delivery_id, one.expires_at_ms if one.may_park else 0, *_pair(limits, numbers))
                for one, limits in zip(wanted, per_delivery, strict=True)
            ],
        }
        with store_errors():
            answers: Any = self._script(args=[encode(asked)])
        return [Charged(is_refused=True) if at == REFUSED else Charged(slot_at_ms=at) for at in answers]


def _numbered(per_delivery: Sequence[Sequence[Limit]]) -> dict[str, tuple[int, Rate]]:
    """Every limit once, by key, with its number from 1 in order of appearance, and its rate."""
    numbers: dict[str, tuple[int, Rate]] = {}
    for limits in per_delivery:
        for limit in limits:
            if limit.key not in numbers:
                numbers[limit.key] = len(numbers) + 1, limit.rate
    return numbers


def _pair(limits: Sequence[Limit], numbers: dict[str, tuple[int, Rate]]) -> list[int]:
    """The numbers of a delivery's limits, filled up with 0."""
    return ([numbers[limit.key][0] for limit in limits] + [0] * _LEVELS)[:_LEVELS]
