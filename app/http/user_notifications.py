"""/api/v1/users/{id}/notifications: what a user was sent, newest first."""

from __future__ import annotations

import flask

from app.http.notification_view import notification_view
from app.http.paging import cursor_errors, read_page
from app.http.services import Services
from app.http.wire import answer

PATH = "/api/v1/users/<user_id>/notifications"


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("user_notifications", __name__)

    @routes.get(PATH)
    def show(user_id: str) -> flask.Response:
        asked = read_page()
        with cursor_errors():
            page = services.history.by_user(user_id, cursor=asked.cursor, limit=asked.limit)
        items = [notification_view(record, services.catalogue) for record in page.items]
        return answer({"items": items, "next_cursor": page.cursor})

    return routes
