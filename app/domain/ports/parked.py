"""Deliveries that wait for a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.domain.delivery import Parked
from app.domain.parked_choice import ParkedChoice, ParkedRow


class ParkedStore(Protocol):
    """Deliveries that wait for a time. Key: delivery id and pass."""

    def park(self, rows: Sequence[Parked]) -> None:
        """Insert the rows that are not there yet, in one transaction. Returning means committed.

        Rows of a forgotten user are due at once, so that what is in them does not stay.
        """

    def lease_due(self, *, now_ms: int, lease_until_ms: int, owner: str, limit: int) -> list[Parked]:
        """Take up to `limit` due rows that nobody holds, high first, then by due time."""

    def lease_of(self, delivery_ids: Sequence[str], *, now_ms: int, lease_until_ms: int, owner: str) -> list[Parked]:
        """Take these deliveries' rows that nobody holds, whenever they are due."""

    def remove(self, keys: Sequence[tuple[str, int]], owner: str) -> None:
        """Delete rows (delivery id, pass) this owner still holds."""

    def counts(self, choice: ParkedChoice = ParkedChoice()) -> Mapping[str, Mapping[str, int]]:  # noqa: B008 - frozen
        """How many of the choice are parked: queue -> reason -> rows."""

    def choose(self, choice: ParkedChoice, *, now_ms: int, limit: int) -> list[ParkedRow]:
        """Up to `limit` rows of the choice, high first, then by due time."""

    def make_due(self, choice: ParkedChoice, *, now_ms: int, limit: int) -> int:
        """Make up to `limit` rows of the choice due that are not yet and that nobody holds; how many."""

    def lease_chosen(
        self, choice: ParkedChoice, *, now_ms: int, lease_until_ms: int, owner: str, limit: int
    ) -> list[Parked]:
        """Take up to `limit` rows of the choice that nobody holds, due or not, high first, then by due time."""

    def hasten(self, keys: Sequence[tuple[str, int]], owner: str, due_at_ms: int) -> None:
        """Make rows (delivery id, pass) this owner holds due at that time; the lease stays."""

    def passes(self, delivery_ids: Sequence[str]) -> Mapping[str, int]:
        """The highest pass in which each of them is parked; those that are not are left out."""

    def lease_of_user(self, user_id: str, *, now_ms: int, lease_until_ms: int, owner: str, limit: int) -> list[Parked]:
        """Take up to `limit` rows of this user that nobody holds, due or not."""
