"""All that is held of a user, in several stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.ports import PersonalData


class PersonalDataOfAll:
    """The port `PersonalData` over others of its kind, one for each store."""

    def __init__(self, stores: Sequence[PersonalData]) -> None:
        self._stores = stores

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note in each that the user was forgotten."""
        known = [store.remember(user_id, at_ms) for store in self._stores]
        return all(known)

    def remove(self, user_id: str, at_ms: int) -> Mapping[str, int]:
        """Remove what is theirs from each; counts by kind."""
        removed: dict[str, int] = {}
        for store in self._stores:
            removed |= store.remove(user_id, at_ms)
        return removed
