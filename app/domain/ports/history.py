"""Every outcome, and what can be counted of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from app.domain.outcome import Outcome, Status
from app.domain.ports.users import Page
from app.domain.statistics import CountQuery, CountRow


class NotificationRecord(Struct, frozen=True, kw_only=True):
    """All the history has of one notification. `event` is None where only event-level outcomes without it came."""

    id: str
    user_id: str
    event_type: str
    accepted_at_ms: int
    event: Any
    outcomes: list[Outcome]


class Standing(Struct, frozen=True, kw_only=True):
    """The head of an outcome. `delivery_id` is empty for one of the event as a whole."""

    notification_id: str
    delivery_id: str
    pass_no: int
    status: Status
    at_ms: int


class History(Protocol):
    """Every outcome, appended; the current status is computed on read (`app.domain.timeline`)."""

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Store and count them; repeating is harmless (key: notification, delivery, pass, attempt, status)."""

    def notification(self, notification_id: str) -> NotificationRecord | None:
        """One notification with all its outcomes, oldest first, or None."""

    def standings(self, notification_ids: Sequence[str]) -> list[Standing]:
        """Every outcome of these notifications, as short as it can be told, in no order."""

    def by_user(self, user_id: str, *, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of `NotificationRecord`, newest first. Raises ValueError for a cursor that is none of ours."""


class Statistics(Protocol):
    """Counts of deliveries by where they stand now. `History.append` keeps them, in whatever order news comes."""

    def counts(self, query: CountQuery) -> list[CountRow]:
        """The groups that hold a delivery, in order of their values; at most one more than `MAX_ROWS`."""
