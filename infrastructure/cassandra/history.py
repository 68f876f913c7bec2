"""The history on Cassandra: rows that are only ever appended, under the time of their event.

No transaction holds what is written together with what was asked before. So who was forgotten is asked before and
again after the write. Whoever forgets remembers first and removes then: what was noted before the second look is seen
by it, and what is noted later is followed by a removal that finds the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from app.domain.cursor import cursor_behind, position
from app.domain.errors import StoreUnavailableError
from app.domain.forgetting import is_forgotten, without_content
from app.domain.outcome import Outcome, Status
from app.domain.ports import NotificationRecord, Page, Standing
from infrastructure.cassandra.batches import Write
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.cold import ColdParts
from infrastructure.cassandra.counting import Counting
from infrastructure.cassandra.forgotten import CassandraForgottenUsers
from infrastructure.cassandra.listing import Listing, latest_months, unnote_empty
from infrastructure.cassandra.rows import SELECT, accepted_ms, outcome_write, records
from infrastructure.cassandra.standings import Standings
from infrastructure.cassandra.strip import strip_writes
from infrastructure.cassandra.times import forgotten_us

_STANDINGS = (
    "SELECT notification_id, delivery_id, pass_no, status, at_ms FROM outcomes_by_notification"
    " WHERE notification_id IN ?"
)


class CassandraHistory:
    """The port `History`."""

    def __init__(self, client: Client, forgotten: CassandraForgottenUsers, retention_s: float) -> None:
        self._client = client
        self._forgotten = forgotten
        self._ttl_s = round(retention_s)
        self._listing = Listing(client, self._ttl_s)
        self._standings = Standings(client, self._ttl_s)
        self._counting = Counting(client, retention_s)
        self._cold = ColdParts()

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Store the outcomes, then mark what is to be counted anew; repeating is harmless.

        What is about an event from before its user was forgotten is stored without content.
        """
        users = {one.user_id for one in outcomes if one.user_id}
        before = self._forgotten.forgotten_at(users)
        kept, stripped = _divided(outcomes, before)
        bare = [without_content(one) for one in stripped]
        months = self._listing.months(kept)
        self._client.write(
            [
                *(outcome_write(self._client, one, self._ttl_s) for one in (*kept, *bare)),
                *self._strip(stripped, before),
                *self._listing.writes(kept),
                *self._listing.month_writes(months),
                *self._standings.writes(outcomes),
            ]
        )
        self._listing.noted(months)
        self._unnote(stripped, before)
        self._look_again(kept, users)
        self._cold.touch(self._standings.mark(outcomes))
        self._count_ahead()

    def notification(self, notification_id: str) -> NotificationRecord | None:
        """One notification with all its outcomes, oldest first, or None."""
        return records(self._client.rows_of_keys(SELECT, [notification_id])).get(notification_id)

    def standings(self, notification_ids: Sequence[str]) -> list[Standing]:
        """Every outcome of these notifications, as short as it can be told."""
        rows = self._client.rows_of_keys(_STANDINGS, dict.fromkeys(notification_ids))
        return [
            Standing(notification_id=name, delivery_id=delivery, pass_no=pass_no, status=Status(status), at_ms=at_ms)
            for name, delivery, pass_no, status, at_ms in rows
            if status is not None
        ]

    def by_user(self, user_id: str, *, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of `NotificationRecord`, newest first. Raises ValueError for a cursor that is none of ours."""
        found = self._listing.newest(user_id, position(cursor), limit + 1)
        shown = found[:limit]
        by_id = records(self._client.rows_of_keys(SELECT, [one.id for one in shown]))
        theirs = [by_id[one.id] for one in shown if one.id in by_id and by_id[one.id].user_id == user_id]
        return Page(items=theirs, cursor=cursor_behind(shown[-1]) if len(found) > limit else None)

    def _count_ahead(self) -> None:
        """One part at a time, so that it does not hold up what follows; what fails, a question makes good."""
        if (part := self._cold.take()) is not None:
            with suppress(StoreUnavailableError):
                self._counting.count(part)

    def _strip(self, outcomes: Sequence[Outcome], forgotten_at: Mapping[str, int]) -> list[Write]:
        return [
            write
            for one in outcomes
            for write in strip_writes(self._client, one, forgotten_at[one.user_id], self._ttl_s)
        ]

    def _unnote(self, outcomes: list[Outcome], forgotten_at: Mapping[str, int]) -> None:
        for key in latest_months(outcomes):
            unnote_empty(self._client, [key], forgotten_us(forgotten_at[key[0]]))

    def _look_again(self, kept: list[Outcome], users: set[str]) -> None:
        """Take back what is of users who were forgotten meanwhile; note anew the months of those who ever were.

        Removing has deleted these, and this process may have thought them noted.
        """
        after = self._forgotten.forgotten_at(users)
        if not after:
            return
        still, stripped = _divided(kept, after)
        again = latest_months([one for one in still if one.user_id in after])
        self._client.write([*self._strip(stripped, after), *self._listing.month_writes(again)])
        self._unnote(stripped, after)


def _divided(outcomes: Sequence[Outcome], forgotten_at: Mapping[str, int]) -> tuple[list[Outcome], list[Outcome]]:
    """Those that are kept whole, and those that are about events of forgotten users."""
    if not forgotten_at:
        return list(outcomes), []
    gone = [is_forgotten(one.user_id, accepted_ms(one), forgotten_at) for one in outcomes]
    return (
        [one for one, is_gone in zip(outcomes, gone, strict=True) if not is_gone],
        [one for one, is_gone in zip(outcomes, gone, strict=True) if is_gone],
    )
