"""Nothing known of users without SQL: where no copies are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from app.domain.ports import KnownUser


class NoKnownUsers:
    """The port `KnownUsers`, keeping nothing."""

    def remember(self, users: Sequence[KnownUser]) -> str:
        """See `app.domain.ports.KnownUsers`."""
        del users
        return ""

    def find(self, user_ids: Sequence[str]) -> Mapping[str, KnownUser]:
        """See `app.domain.ports.KnownUsers`."""
        del user_ids
        return {}

    def forget(self, user_id: str, version: int, at_ms: int) -> None:
        """See `app.domain.ports.KnownUsers`."""


NOTHING_KNOWN: Final = NoKnownUsers()
