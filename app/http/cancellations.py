"""DELETE /api/v1/notifications/{id}: take a notification back."""

from __future__ import annotations

import flask

from app.http.cancelling import CancelledDelivery, Canceller
from app.http.notifications import PATH
from app.http.problems import NOT_FOUND, TOO_LATE, TYPE_PREFIX, Problem, ProblemError
from app.http.services import Services
from app.http.wire import answer

#: Of the threads of the process, one in so many may wait for workers to tell.
_WAIT_SHARE = 4


class TooLateProblem(Problem, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing could be stopped; `deliveries` tell what became of each."""

    deliveries: tuple[CancelledDelivery, ...] = ()


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("cancellations", __name__, url_prefix=PATH)
    canceller = Canceller(
        secret=services.secret,
        catalogue=services.catalogue,
        cancels=services.cancels,
        parked=services.parked,
        outcomes=services.outcomes,
        history=services.history,
        wait_s=services.settings.cancel_wait_s,
        waiters=max(1, services.settings.http_threads // _WAIT_SHARE),
    )

    @routes.delete("/<notification_id>")
    def cancel(notification_id: str) -> flask.Response:
        found = canceller.cancel(notification_id)
        if found is None:
            raise ProblemError(NOT_FOUND.problem("No notification has this id."))
        if found.result == "too_late":
            raise ProblemError(_too_late(found.deliveries))
        return answer(found, 202 if found.result == "pending" else 200)

    return routes


def _too_late(deliveries: list[CancelledDelivery]) -> TooLateProblem:
    return TooLateProblem(
        type=TYPE_PREFIX + TOO_LATE.name,
        title=TOO_LATE.title,
        status=TOO_LATE.status,
        detail="All of its deliveries have ended.",
        deliveries=tuple(deliveries),
    )
