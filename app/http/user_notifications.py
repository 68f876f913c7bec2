"""/api/v1/users/{id}/notifications: what a user was sent, newest first."""

from __future__ import annotations

import flask
from msgspec import Struct

from app.http.notification_view import NotificationView, notification_view
from app.http.paging import cursor_errors, read_page
from app.http.services import Services
from app.http.wire import answer

PATH = "/api/v1/users/<user_id>/notifications"


class NotificationPage(Struct, frozen=True, kw_only=True):
    """A page of notifications. `next_cursor` is null on the last one."""

    items: list[NotificationView]
    next_cursor: str | None


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("user_notifications", __name__)

    @routes.get(PATH)
    def show(user_id: str) -> flask.Response:
        asked = read_page()
        with cursor_errors():
            page = services.history.by_user(user_id, cursor=asked.cursor, limit=asked.limit)
        items = [notification_view(record, services.catalogue) for record in page.items]
        return answer(NotificationPage(items=items, next_cursor=page.cursor))

    return routes
