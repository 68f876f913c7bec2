"""Outcomes read straight from Cassandra."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.history import NOT_FINAL, Row
from tests.support.stack_client import wait_until

if TYPE_CHECKING:  # the driver is not there where the real profile is not
    from cassandra.cluster import Cluster, Session

AT_ONCE = 50
TIMEOUT_S = 30.0


class RealHistory:
    """The history of the real set, by its NOTIFY_HISTORY_URL."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._url = urlsplit(environ["NOTIFY_HISTORY_URL"])
        self._cluster: Cluster | None = None
        self._session: Session | None = None

    def final_deliveries(self, notification_ids: Collection[str] | None = None) -> dict[str, str]:
        """Delivery id -> final status, of all that have one (of those of these notifications)."""
        if notification_ids is None:
            rows: Sequence[Any] = sorted(self._scan("delivery_id, pass_no, at_ms, status"), key=lambda row: row[1:3])
        else:
            rows = sorted(self._of(notification_ids), key=lambda row: row[1:3])
        return {row.delivery_id: row.status for row in rows if row.status not in NOT_FINAL}

    def reason_of(self, delivery_id: str) -> str:
        """The reason of the delivery's last outcome."""
        rows = [row for row in self._scan("delivery_id, pass_no, at_ms, reason") if row.delivery_id == delivery_id]
        return str(max(rows, key=lambda row: (row.pass_no, row.at_ms)).reason) if rows else ""

    def outcomes(self, notification_id: str) -> list[Row]:
        """A notification's outcomes, oldest first; those of the event as a whole have no delivery id."""
        query = (
            "SELECT delivery_id, pass_no, status, reason, detail, at_ms, priority FROM outcomes_by_notification"
            " WHERE notification_id = %s"
        )
        rows = self._connected().execute(query, [notification_id])
        found = [Row(*("" if value is None else value for value in row)) for row in rows if row.status]
        return sorted(found, key=lambda row: (row.at_ms, row.pass_no))

    def seconds_to_outcome(self, delivery_ids: set[str]) -> dict[str, float]:
        """Delivery id -> seconds from its acceptance to its final outcome, by the service's own clock."""
        rows = self._scan("delivery_id, at_ms, accepted_at_ms, status")
        return {
            row.delivery_id: (row.at_ms - row.accepted_at_ms) / 1000
            for row in rows
            if row.status not in NOT_FINAL and row.delivery_id in delivery_ids
        }

    def times_sent(self, users_like: str) -> dict[str, int]:
        """Delivery id -> how often it was sent, of the notifications of these users (`%` stands for anything)."""
        found: dict[str, int] = {}
        for row in self._scan("delivery_id, user_id, status"):
            if row.status == "sent" and fnmatchcase(row.user_id or "", users_like.replace("%", "*")):
                found[row.delivery_id] = found.get(row.delivery_id, 0) + 1
        return found

    def all_finals(self) -> dict[str, set[str]]:
        """Delivery id -> every final status that was recorded of it."""
        found: dict[str, set[str]] = {}
        for row in self._scan("delivery_id, status"):
            if row.status not in NOT_FINAL:
                found.setdefault(row.delivery_id, set()).add(row.status)
        return found

    def ever_parked(self) -> set[str]:
        """Ids of the deliveries that were parked at some time."""
        return {row.delivery_id for row in self._scan("delivery_id, status") if row.status == "parked"}

    def close(self) -> None:
        """Give the connections back."""
        if self._cluster is not None:
            self._cluster.shutdown()
        self._cluster = self._session = None

    def _of(self, notification_ids: Collection[str]) -> list[Any]:
        from cassandra.concurrent import execute_concurrent_with_args

        session = self._connected()
        query = session.prepare(
            "SELECT delivery_id, pass_no, at_ms, status FROM outcomes_by_notification WHERE notification_id IN ?"
        )
        ids = list(notification_ids)
        portions = [(ids[start : start + AT_ONCE],) for start in range(0, len(ids), AT_ONCE)]
        answers = execute_concurrent_with_args(session, query, portions, concurrency=8)
        return [row for _, rows in answers for row in rows if row.status]

    def _scan(self, columns: str) -> Iterator[Any]:
        rows = self._connected().execute(f"SELECT {columns} FROM outcomes_by_notification")  # noqa: S608 - columns are ours
        return (row for row in rows if row.delivery_id is not None)

    def _connected(self) -> Session:
        """Connected at first use: the keyspace is made by then."""
        from cassandra.cluster import Cluster
        from cassandra.policies import ConstantReconnectionPolicy

        if self._session is not None:
            wait_until(self._answers, "Cassandra is found again", TIMEOUT_S)
        else:
            self._cluster = Cluster(
                [self._url.hostname], port=self._url.port, reconnection_policy=ConstantReconnectionPolicy(1.0, None)
            )
            self._session = self._cluster.connect(self._url.path.strip("/"))
            self._session.default_timeout = TIMEOUT_S
            self._session.default_fetch_size = 5000
        return self._session

    def _answers(self) -> bool:
        """Whether it does; a connection from before it was away may be tried first."""
        from cassandra.cluster import NoHostAvailable

        assert self._session is not None
        try:
            self._session.execute("SELECT key FROM system.local")
        except NoHostAvailable:
            return False
        return True
