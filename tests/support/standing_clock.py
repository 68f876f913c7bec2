"""A clock for what is told the time."""

from __future__ import annotations


class StandingClock:
    """Stands until it is moved; Unix milliseconds."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now
