"""What stands in paths, checked for all resources alike."""

from __future__ import annotations

import flask

from app.http.users import checked_id

USER_ID = "user_id"


def install(app: flask.Flask) -> None:
    """Refuse user ids that no event may carry (422), whatever is asked of them."""

    @app.before_request
    def check() -> None:
        values = flask.request.view_args or {}
        if USER_ID in values:
            checked_id(values[USER_ID])
