"""The limits as an event's deliveries would find them one after the other, on a copy: nothing is taken."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.domain.gcra import Limit, peek, slot, take_up_to
from app.domain.limit_rules import LaneLimitTable, UserRates, subject_of
from app.domain.local_limits import charge_one
from app.domain.ports import Charged, LimitsSeen, UserCharge
from app.domain.rfc3339 import rfc3339
from app.explain.explanation import LimitState

#: More than any limit lets go at once.
_ALL: Final = 2**53


class LimitRun:
    """Both kinds of limits at one moment; what one delivery takes, the next does not find."""

    def __init__(self, seen: LimitsSeen, users: UserRates, lanes: LaneLimitTable) -> None:
        self._tats = dict(seen.tats)
        self._now = seen.now_us
        self._users = users
        self._lanes = lanes

    def user_states(self, user_id: str, channel: str) -> tuple[LimitState, ...]:
        """The user's limits, as they stand."""
        return tuple(self._user_state(limit) for limit in self._users.limits(user_id, channel))

    def lane_states(self, queue: str) -> tuple[LimitState, ...]:
        """The lane's limits, as they stand: what of each the lane may use."""
        return tuple(self._lane_states(queue))

    def ask(self, queue: str) -> int:
        """Take one of the lane's limits; 0, or when it may be asked again (Unix milliseconds)."""
        granted, wait_us = take_up_to(self._tats, self._lanes.get(queue, ()), self._now, 1)
        return 0 if granted else _ms(self._now + wait_us)

    def charge(self, wanted: UserCharge) -> Charged:
        """As `UserLimits.charge`."""
        return charge_one(self._tats, self._users, wanted, self._now)

    def _user_state(self, limit: Limit) -> LimitState:
        tat, rate = self._tats.get(limit.key, 0), limit.rate
        left, next_us = peek(tat, self._now, rate), slot(tat, self._now, rate)
        subject = subject_of(limit.key)
        named = "user" if subject == "*" else f"user and {subject}"
        return _state(named, str(rate), left, next_us)

    def _lane_states(self, queue: str) -> Iterable[LimitState]:
        for limit in self._lanes.get(queue, ()):
            left, _ = take_up_to(dict(self._tats), [limit], self._now, _ALL)
            _, wait_us = take_up_to(dict(self._tats), [limit], self._now, 1)
            named = f"{subject_of(limit.whole.key)} lanes"
            yield _state(named, str(limit.whole.rate), left, self._now + wait_us)


def _state(limit: str, rate: str, left: int, next_us: int) -> LimitState:
    return LimitState(limit=limit, rate=rate, left=left, next_at=None if left else rfc3339(_ms(next_us)))


def _ms(at_us: int) -> int:
    """Milliseconds, never early."""
    return -(-at_us // 1000)
