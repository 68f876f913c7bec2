"""The HTTP application: all resources, and problems for whatever goes wrong."""

from __future__ import annotations

import flask

from app.http import health, inbox, notifications, preferences, problems, user_notifications, users
from app.http.services import Services

RESOURCES = (notifications, users, preferences, user_notifications, inbox, health)


def create_app(services: Services) -> flask.Flask:
    """The WSGI application over these services. Connects to nothing."""
    app = flask.Flask(__name__, static_folder=None)
    problems.install(app)
    for resource in RESOURCES:
        app.register_blueprint(resource.blueprint(services))
    return app
