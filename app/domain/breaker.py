"""When a circuit breaker opens and closes: pure rules on one breaker's state."""

from __future__ import annotations

from msgspec import Struct

from app.domain.ports import BreakerState

CLOSED = BreakerState()


class BreakerPolicy(Struct, frozen=True, kw_only=True):
    """`failures` points in a row open a breaker for `open_s`; each failure when half open doubles that, up to `cap_s`.

    A breaker is closed (`open_until_ms` 0), open until that time, and half open from then on.
    """

    failures: int
    open_s: float
    cap_s: float

    def after_failure(self, state: BreakerState, points: int, now_ms: int) -> BreakerState:
        """The state after a failed call; `points` counts those in a row, with it.

        The failures of calls that were under way when the breaker opened change nothing.
        """
        if state.open_until_ms > now_ms or (state == CLOSED and points < self.failures):
            return state
        return BreakerState(open_until_ms=now_ms + self._pause_ms(state.level + 1), level=state.level + 1)

    def after_success(self, state: BreakerState, now_ms: int) -> BreakerState:
        """The state after a call that succeeded; one that began before the breaker opened does not close it."""
        return state if state.open_until_ms > now_ms else CLOSED

    def _pause_ms(self, level: int) -> int:
        # 2.0 ** 1024 is too large for a float; the cap is reached long before 64
        return int(1000 * min(self.cap_s, self.open_s * 2.0 ** min(level - 1, 64)))
