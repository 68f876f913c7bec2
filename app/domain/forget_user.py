"""Forgetting a user: the order of its steps, over ports. Each may be repeated, and so may the whole."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.delivery import Parked
from app.domain.errors import StoreUnavailableError
from app.domain.forgetting import cancelled
from app.domain.ports import OutcomePublisher, ParkedStore, PersonalData

#: How long other processes may go by "nobody was ever forgotten" after somebody was.
EMPTY_KNOWN_S = 1.0

_SETTLE_S = EMPTY_KNOWN_S + 0.2
_LIMIT = 500
_LEASE_MS = 15_000
_ACK_S = 8.0


class Held(Struct, frozen=True, kw_only=True):
    """What is still held elsewhere, and until when at the latest (Unix milliseconds)."""

    where: str
    what: str
    until_ms: int


class Forgotten(Struct, frozen=True, kw_only=True):
    """What was done: how much was removed of each kind, and what removes itself later."""

    forgotten_at_ms: int
    removed: dict[str, int]
    still_held: list[Held]


class ForgetUser:
    """The use case. `held_s`: (where, what, seconds that it is kept) of what cannot be removed one by one."""

    def __init__(
        self,
        data: PersonalData,
        parked: ParkedStore,
        outcomes: OutcomePublisher,
        held_s: list[tuple[str, str, float]],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._data = data
        self._parked = parked
        self._outcomes = outcomes
        self._held_s = held_s
        self._sleep = sleep

    def forget(self, user_id: str) -> Forgotten:
        """Remember first, so that nothing comes back behind it; then remove, then cancel what is parked.

        Raises StoreUnavailableError: what was done stays done, and repeating does the rest.
        """
        at_ms = now_ms()
        if not self._data.remember(user_id, at_ms):
            self._sleep(_SETTLE_S)
        removed = dict(self._data.remove(user_id, at_ms))
        removed["parked"] = self._cancel_parked(user_id, at_ms)
        held = [
            Held(where=where, what=what, until_ms=at_ms + round(kept_s * 1000)) for where, what, kept_s in self._held_s
        ]
        return Forgotten(forgotten_at_ms=at_ms, removed=removed, still_held=held)

    def _cancel_parked(self, user_id: str, at_ms: int) -> int:
        """The outcome is durable before the row goes; rows that a scheduler holds are cancelled on their way."""
        owner, done = uuid.uuid4().hex, 0
        while rows := self._lease(user_id, owner):
            mine = [row.delivery for row in rows if row.delivery.accepted_at_ms <= at_ms]
            if not self._outcomes.publish([cancelled(delivery, now_ms()) for delivery in mine], _ACK_S):
                raise StoreUnavailableError("Kafka did not acknowledge that parked deliveries are cancelled")
            self._parked.remove([(delivery.id, delivery.pass_no) for delivery in mine], owner)
            done += len(mine)
        return done

    def _lease(self, user_id: str, owner: str) -> list[Parked]:
        now = now_ms()
        return self._parked.lease_of_user(
            user_id, now_ms=now, lease_until_ms=now + _LEASE_MS, owner=owner, limit=_LIMIT
        )
