"""/livez and /readyz: whether the process runs, and whether it can take events in."""

from __future__ import annotations

from typing import Literal

import flask
from msgspec import Struct

from app.http.problems import RETRY_AFTER_S, UNAVAILABLE, ProblemError
from app.http.services import Services
from app.http.wire import answer


class Health(Struct, frozen=True):
    """The answer where all is well."""

    status: Literal["ok"] = "ok"


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("health", __name__)

    @routes.get("/livez")
    def live() -> flask.Response:
        return answer(Health())

    @routes.get("/readyz")
    def ready() -> flask.Response:
        # Intake only: every other store may be away while events are accepted.
        if not services.log.is_ready(services.settings.intake_timeout_s):
            raise ProblemError(UNAVAILABLE.problem("Kafka does not answer.", retry_after_s=RETRY_AFTER_S))
        return answer(Health())

    return routes
