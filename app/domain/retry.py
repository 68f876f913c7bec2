"""When a delivery that failed for now is tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from app.domain.lane import Priority

#: The first retry of high comes within this time, whatever the base.
FIRST_HIGH_S: Final = 5.0
#: The shortest wait for a provider that is throttling, seconds: it may ask for less, or for nonsense.
THROTTLED_MIN_S: Final = 1.0
#: Throttled deliveries come back spread over this part of the wait.
THROTTLED_SPREAD: Final = 0.1
#: Doublings after which every cap has been reached; more would overflow.
_DOUBLINGS: Final = 64

Random = Callable[[], float]


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Exponential backoff with equal jitter: the wait lies between half of `base * 2 ** retries` and all of it.

    Equal, not full, jitter: the wait never falls to nothing, so a provider that is down is not asked at once.
    Seconds. `random` gives numbers from 0 up to 1.

    Where no retry is left, or the next would come at the expiry or later, the answer is None, and the delivery is
    failed: `retries_exhausted`, or `provider_throttled` where the provider's wait is too long. `expired: ttl` is kept
    for deliveries whose time ran out while nothing was wrong with them.
    """

    max_retries: int
    base_high_s: float
    base_s: float
    cap_s: float

    def next_delay_s(self, priority: Priority, retries: int, random: Random) -> float | None:
        """Seconds to the next try after `retries` of them, or None where the budget is spent."""
        if retries >= self.max_retries:
            return None
        is_high = priority is Priority.HIGH
        longest = (self.base_high_s if is_high else self.base_s) * 2.0 ** min(retries, _DOUBLINGS)
        longest = min(longest, self.cap_s)
        if is_high and retries == 0:
            longest = min(longest, FIRST_HIGH_S)
        return longest * (1 + random()) / 2

    def parked_until_ms(
        self, priority: Priority, retries: int, *, now_ms: int, expires_at_ms: int, random: Random
    ) -> int | None:
        """When to try again after a transient failure (Unix milliseconds), or None."""
        delay_s = self.next_delay_s(priority, retries, random)
        return None if delay_s is None else _before(now_ms + round(delay_s * 1000), expires_at_ms)

    def throttled_until_ms(
        self, retry_after_s: float, *, now_ms: int, expires_at_ms: int, random: Random
    ) -> int | None:
        """When to try again where the provider asked for `retry_after_s` (bounded by 1 s and the cap), or None."""
        asked_s = retry_after_s if retry_after_s > THROTTLED_MIN_S else THROTTLED_MIN_S  # this way NaN is 1 s, too
        delay_s = min(asked_s, self.cap_s) * (1 + THROTTLED_SPREAD * random())
        return _before(now_ms + round(delay_s * 1000), expires_at_ms)


def _before(at_ms: int, expires_at_ms: int) -> int | None:
    return at_ms if at_ms < expires_at_ms else None
