"""Outcomes read straight from the history's store, beside the tracker that writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

NOT_FINAL = ("accepted", "parked")
BUSY_S = 10.0


class Row(NamedTuple):
    """One outcome."""

    delivery_id: str
    pass_no: int
    status: str
    reason: str
    detail: str
    at_ms: int
    priority: str


class HistoryView(Protocol):
    """What tests ask of the history, whatever it lies in."""

    def final_deliveries(self, notification_ids: Collection[str] | None = None) -> dict[str, str]: ...

    def reason_of(self, delivery_id: str) -> str: ...

    def outcomes(self, notification_id: str) -> list[Row]: ...

    def seconds_to_outcome(self, delivery_ids: set[str]) -> dict[str, float]: ...

    def times_sent(self, users_like: str) -> dict[str, int]: ...

    def all_finals(self) -> dict[str, set[str]]: ...

    def ever_parked(self) -> set[str]: ...


class SqliteHistory:
    """The history of the embedded set."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=BUSY_S)) as connection:
            yield connection

    def final_deliveries(self, notification_ids: Collection[str] | None = None) -> dict[str, str]:
        """Delivery id -> final status, of all that have one (at least of those of these notifications)."""
        with self._reading() as connection:
            query = "SELECT delivery_id, status FROM outcomes WHERE status NOT IN (?, ?) ORDER BY pass_no, at_ms"
            return dict(connection.execute(query, NOT_FINAL).fetchall())

    def reason_of(self, delivery_id: str) -> str:
        """The reason of the delivery's last outcome."""
        with self._reading() as connection:
            query = "SELECT reason FROM outcomes WHERE delivery_id = ? ORDER BY pass_no DESC, at_ms DESC LIMIT 1"
            row = connection.execute(query, (delivery_id,)).fetchone()
            return str(row[0]) if row else ""

    def outcomes(self, notification_id: str) -> list[Row]:
        """A notification's outcomes, oldest first; those of the event as a whole have no delivery id."""
        with self._reading() as connection:
            query = """
                SELECT o.delivery_id, o.pass_no, o.status, o.reason, o.detail, o.at_ms, o.priority
                FROM outcomes o WHERE o.notification_id = ? ORDER BY o.at_ms, o.pass_no
            """
            return [Row(*row) for row in connection.execute(query, (notification_id,))]

    def seconds_to_outcome(self, delivery_ids: set[str]) -> dict[str, float]:
        """Delivery id -> seconds from its acceptance to its final outcome, by the service's own clock."""
        with self._reading() as connection:
            query = """
                SELECT o.delivery_id, (o.at_ms - n.accepted_at_ms) / 1000.0
                FROM outcomes o JOIN notifications n ON n.id = o.notification_id WHERE o.status NOT IN (?, ?)
            """
            return {key: took_s for key, took_s in connection.execute(query, NOT_FINAL) if key in delivery_ids}

    def times_sent(self, users_like: str) -> dict[str, int]:
        """Delivery id -> how often it was sent, of the notifications of these users."""
        with self._reading() as connection:
            query = """
                SELECT o.delivery_id, COUNT(*) FROM outcomes o JOIN notifications n ON n.id = o.notification_id
                WHERE n.user_id LIKE ? AND o.status = 'sent' GROUP BY o.delivery_id
            """
            return dict(connection.execute(query, (users_like,)).fetchall())

    def all_finals(self) -> dict[str, set[str]]:
        """Delivery id -> every final status that was recorded of it."""
        found: dict[str, set[str]] = {}
        with self._reading() as connection:
            query = "SELECT delivery_id, status FROM outcomes WHERE status NOT IN (?, ?)"
            for delivery_id, status in connection.execute(query, NOT_FINAL):
                found.setdefault(delivery_id, set()).add(status)
        return found

    def ever_parked(self) -> set[str]:
        """Ids of the deliveries that were parked at some time."""
        with self._reading() as connection:
            return {row[0] for row in connection.execute("SELECT delivery_id FROM outcomes WHERE status = 'parked'")}
