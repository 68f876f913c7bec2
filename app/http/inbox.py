"""/api/v1/users/{id}/inbox: the in-app inbox, newest first, with what is unread."""

from __future__ import annotations

from collections.abc import Sequence

import flask
from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.ports import InboxEntry
from app.http.paging import cursor_errors, read_flag, read_page
from app.http.services import Services
from app.http.wire import Rfc3339, answer, rfc3339, rfc3339_or_none

PATH = "/api/v1/users/<user_id>/inbox"


class EntryView(Struct, frozen=True, kw_only=True):
    """An entry as clients see it."""

    id: str
    notification_id: str
    event_type: str
    category: str
    subject: str
    body: str
    created_at: Rfc3339
    read_at: Rfc3339 | None


class InboxPage(Struct, frozen=True, kw_only=True):
    """A page of the inbox; `unread` counts all of it. `next_cursor` is null on the last page."""

    items: list[EntryView]
    unread: int
    next_cursor: str | None


class Marked(Struct, frozen=True, kw_only=True):
    """How many entries were unread before, and how many are now."""

    marked: int
    unread: int


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("inbox", __name__)
    inbox = services.inbox

    @routes.get(PATH)
    def show(user_id: str) -> flask.Response:
        asked = read_page("unread")
        with cursor_errors():
            page = inbox.list(user_id, unread_only=read_flag("unread"), cursor=asked.cursor, limit=asked.limit)
        items = [_view(entry) for entry in page.items]
        return answer(InboxPage(items=items, unread=inbox.unread_count(user_id), next_cursor=page.cursor))

    @routes.post(f"{PATH}/<entry_id>/read")
    def read_one(user_id: str, entry_id: str) -> flask.Response:
        return mark_read(user_id, [entry_id])

    @routes.post(f"{PATH}/read")
    def read_all(user_id: str) -> flask.Response:
        return mark_read(user_id, None)

    def mark_read(user_id: str, entry_ids: Sequence[str] | None) -> flask.Response:
        marked = inbox.mark_read(user_id, entry_ids, now_ms())
        return answer(Marked(marked=marked, unread=inbox.unread_count(user_id)))

    return routes


def _view(entry: InboxEntry) -> EntryView:
    return EntryView(
        id=entry.id,
        notification_id=entry.notification_id,
        event_type=entry.event_type,
        category=entry.category,
        subject=entry.subject,
        body=entry.body,
        created_at=rfc3339(entry.created_at_ms),
        read_at=rfc3339_or_none(entry.read_at_ms),
    )
