"""Holding a mean rate without making up for what was waited for."""

from __future__ import annotations

from app.domain.rate import Rate


class Steady:
    """Times are monotonic seconds. None: no limit."""

    def __init__(self, rate: Rate | None) -> None:
        self._each_s = rate.interval_us / 1_000_000 if rate else 0.0
        self._free_at_s = 0.0

    def portion(self, most: int, seconds: float) -> int:
        """How many go at once where each lot is to last so long, at least one and at most `most`."""
        return min(most, max(1, int(seconds / self._each_s))) if self._each_s else most

    def delay_s(self, count: int, now_s: float) -> float:
        """How long to wait before so many go; they count as gone then."""
        start_s = max(self._free_at_s, now_s)
        self._free_at_s = start_s + count * self._each_s
        return start_s - now_s
