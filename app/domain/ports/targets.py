"""Marks of a delivery's targets, beside its claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class TargetKey(NamedTuple):
    """One target of a delivery, in one pass."""

    delivery_id: str
    pass_no: int
    target_id: str


class Mark(NamedTuple):
    """A call of a target that was begun in a pass; `result` is what came of it (JSON), empty where nothing has yet."""

    target_id: str
    pass_no: int
    result: str


class TargetMarks(Protocol):
    """Which targets of a delivery were called, and what they said. They live as long as its claim."""

    def find(self, delivery_ids: Sequence[str]) -> list[list[Mark]]:
        """The marks of each delivery."""

    def note(
        self, *, owner: str, answered: Sequence[tuple[TargetKey, str]], starting: Sequence[TargetKey]
    ) -> list[bool]:
        """Note results (JSON), then mark targets as being called.

        Per target to be called: whether it may be, which it may not where the claim is not `owner`'s, or not being
        called. A final result is never replaced by one that is none. Where this raises, none may; a store that only
        does it when nobody waits any more marks none.
        """

    def take_back(self, keys: Sequence[TargetKey], *, owner: str) -> None:
        """These were marked by this owner, and are not called after all, or said no and may be called again."""
