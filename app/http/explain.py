"""/api/v1/explain: what would become of an event, and why; nothing is sent, stored or counted."""

from __future__ import annotations

import flask

from app.domain.event_rules import read_timely_event
from app.http.services import Services
from app.http.wire import JSON, answer, read_body

PATH = "/api/v1/explain"


def blueprint(services: Services) -> flask.Blueprint:
    """The resource. An event that intake would refuse is refused alike."""
    routes = flask.Blueprint("explain", __name__)

    @routes.post(PATH)
    def explain() -> flask.Response:
        event = read_timely_event(read_body(JSON), services.catalogue)
        return answer(services.explainer().explain(event))

    return routes
