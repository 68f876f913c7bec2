"""Limits on users and on lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from app.domain.lane import Lane


class UserCharge(Struct, frozen=True, kw_only=True):
    """One delivery to be counted against its user's limits. `expires_at_ms` bounds the slot that may be taken."""

    delivery_id: str
    user_id: str
    channel: str
    expires_at_ms: int
    may_park: bool


class Charged(Struct, frozen=True, kw_only=True):
    """Whether it may go now (`slot_at_ms` 0), at a slot it has now taken, or not at all (`is_refused`)."""

    slot_at_ms: int = 0
    is_refused: bool = False


class UserLimits(Protocol):
    """Per-user and per-user-per-channel limits."""

    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        """Check all, then take all, in one call with the claims: a claim that was charged is not charged again."""


class LimitsSeen(Struct, frozen=True, kw_only=True):
    """Limits as they were at one moment: TATs by key (`app.domain.gcra`), 0 where unused. Microseconds."""

    now_us: int
    tats: Mapping[str, int]


class LimitBook(Protocol):
    """What is used up of limits, of users and lanes alike."""

    def peek(self, keys: Sequence[str]) -> LimitsSeen:
        """These limits (`Limit.key`), all at one moment of the store's clock. Takes nothing."""


class Pace(Struct, frozen=True, kw_only=True):
    """How many deliveries may go now, and when to ask again where none may."""

    granted: int
    retry_after_s: float = 0.0


class BatchLeases(Protocol):
    """Which batches of a channel that calls a network are out: one lease for each partition, whoever sent it."""

    def take(
        self, lane: Lane, partition: int, *, not_after_ms: int, life_ms: int, bound: int, others_wait: bool
    ) -> bool:
        """Whether one more may go out (`app.domain.channel.may_go_out`); a lease that is there is renewed.

        It ends by itself after `life_ms`, when the batch calls nobody any more: a dispatcher may die. `not_after_ms`
        names the copy. Who is refused and goes on asking comes first when a place is free.
        """

    def give_back(self, lane: Lane, partition: int, *, not_after_ms: int) -> None:
        """The copy of that name, or an earlier one, is through; the lease of a later one stays."""


class LaneLimits(Protocol):
    """Global, per-channel and per-priority limits."""

    def ask(self, queue: str, wanted: int) -> Pace:
        """Take up to `wanted` from every limit that concerns the lane."""
