"""Port ClaimReview: claims as operators' commands see and reopen them (format: claims.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from app.domain.clock import now_ms
from app.domain.ports import SeenClaim
from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

_PREFIX: Final = "claim:"
#: Claims read or changed in one round trip.
_CHUNK: Final = 500
_DONE = "d"
_WORKING = ("h", "c", "a")

# A claim that is done in this pass or a lower one holds the status of a parked delivery from then on: what takes the
# next pass goes on. One that is not done, or of a higher pass, stays; so repeating this is harmless.
_REOPEN: Final = """
for i, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  local pass, state = string.match(value or '', '^(%d+)|(%a)|')
  if state == 'd' and tonumber(pass) <= tonumber(ARGV[i]) then
    redis.call('SET', key, (string.gsub(value, '[^|]*$', 'parked')), 'KEEPTTL')
  end
end
"""


class RedisClaimReview:
    """The port over the same keys as `RedisClaims`."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._reopen = client.register_script(_REOPEN)

    def seen(self, delivery_ids: Sequence[str]) -> list[SeenClaim | None]:
        """See `app.domain.ports.ClaimReview`."""
        found: list[SeenClaim | None] = []
        for start in range(0, len(delivery_ids), _CHUNK):
            with store_errors():
                values = self._client.mget([_PREFIX + one for one in delivery_ids[start : start + _CHUNK]])
            found += [_seen(value) for value in values]
        return found

    def reopen(self, wanted: Sequence[tuple[str, int]]) -> None:
        """See `app.domain.ports.ClaimReview`."""
        for start in range(0, len(wanted), _CHUNK):
            portion = wanted[start : start + _CHUNK]
            with store_errors():
                self._reopen(keys=[_PREFIX + one for one, _ in portion], args=[pass_no for _, pass_no in portion])


def _seen(value: str | bytes | None) -> SeenClaim | None:
    if value is None:
        return None
    parts = (value.decode() if isinstance(value, bytes) else value).split("|", 7)
    pass_no, state, until_ms = int(parts[0]), parts[1], int(parts[3])
    is_done = state == _DONE
    return SeenClaim(
        pass_no=pass_no,
        is_live=state in _WORKING and until_ms > now_ms(),
        is_done=is_done,
        status=parts[-1] if is_done else "",
    )
