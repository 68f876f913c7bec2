"""/openapi.json: the description of this API, as OpenAPI 3.1."""

from __future__ import annotations

import flask

from app.domain import codec
from app.http.openapi.document import document
from app.http.openapi.process_operations import PATH
from app.http.services import Services
from app.http.wire import JSON


def blueprint(services: Services) -> flask.Blueprint:
    """The resource. The document is made once."""
    routes = flask.Blueprint("openapi", __name__)
    body = codec.encode(document(services.settings.public_url, asks_keys=services.settings.http_auth == "keys"))

    @routes.get(PATH)
    def show() -> flask.Response:
        return flask.Response(body, content_type=JSON)

    return routes
