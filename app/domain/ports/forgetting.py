"""Users that were forgotten, and all that is held of one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class ForgottenUsers(Protocol):
    """Who was forgotten, and when. Known by a keyed hash of the id."""

    def forgotten_at(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When those of the users that were forgotten were, last; one query, none while nobody ever was."""


class PersonalData(Protocol):
    """All that SQL and history hold of a user. Both methods may be repeated."""

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note that the user was forgotten. Whether all processes go by it; if not, they do `EMPTY_KNOWN_S` later."""

    def remove(self, user_id: str, at_ms: int) -> Mapping[str, int]:
        """Remove contacts, preferences and inbox, and the content of events accepted until then; counts by kind.

        The history keeps ids, statuses, reasons and times, without the user's id.
        """
