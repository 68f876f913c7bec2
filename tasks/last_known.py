"""What was last known of users, for the time in which SQL is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from app.domain.errors import StoreUnavailableError
from app.domain.known_users import NOTHING_KNOWN
from app.domain.ports import KnownUser, KnownUsers

_log = structlog.get_logger()

#: How long a process takes for granted that a copy it has given is still there.
GIVEN_S: Final = 300.0
#: Of how many users a process remembers that it has given their copies.
GIVEN_USERS: Final = 20_000

Versions = tuple[int | None, int | None]


class LastKnown:
    """The copies as the steps use them: never an error, and nothing given twice in a short time."""

    def __init__(self, known: KnownUsers = NOTHING_KNOWN, clock: Callable[[], float] = time.monotonic) -> None:
        self._known = known
        self._clock = clock
        self._life = ""
        self._given: dict[str, tuple[Versions, float]] = {}

    def remember(self, users: Sequence[KnownUser]) -> None:
        """Give what was read from SQL, where it is news; one call at most."""
        now = self._clock()
        news = [user for user in users if not self._is_given(user, now)]
        if not news:
            return
        try:
            life = self._known.remember(news)
        except StoreUnavailableError:
            self._given.clear()  # nobody knows what is left of them
            return
        if life != self._life or len(self._given) + len(news) > GIVEN_USERS:
            self._life = life
            self._given.clear()
        self._given |= {user.user_id: (_versions(user), now) for user in news[:GIVEN_USERS]}

    def find(self, user_ids: Sequence[str]) -> Mapping[str, KnownUser]:
        """What is known of these users; nothing where that cannot be asked either."""
        try:
            return self._known.find(user_ids)
        except StoreUnavailableError:
            _log.warning("known_users_unavailable", users=len(user_ids))
            return {}

    def _is_given(self, user: KnownUser, now: float) -> bool:
        versions, given_at = self._given.get(user.user_id, ((None, None), 0.0))
        if now >= given_at + GIVEN_S:
            return False
        return all(mine is None or mine == there for mine, there in zip(_versions(user), versions, strict=True))


def _versions(user: KnownUser) -> Versions:
    return (
        None if user.recipient is None else user.recipient.version,
        None if user.preferences is None else user.preferences.version,
    )
