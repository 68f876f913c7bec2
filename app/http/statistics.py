"""/api/v1/stats: how many deliveries stand where."""

from __future__ import annotations

import flask

from app.domain.clock import now_ms
from app.domain.statistics import MAX_ROWS
from app.domain.statistics_query import QueryError, read_query
from app.http.paging import refuse_repeated, refused
from app.http.services import Services
from app.http.statistics_view import statistics_view
from app.http.wire import answer

PATH = "/api/v1/stats"


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("statistics", __name__)

    @routes.get(PATH)
    def show() -> flask.Response:
        refuse_repeated("is given more than once; several values go with commas")
        try:
            query = read_query(flask.request.args.to_dict(), now_ms())
        except QueryError as error:
            raise refused(error.parameter, error.detail) from error
        rows = services.statistics.counts(query)
        if len(rows) > MAX_ROWS:
            raise refused("group_by", f"gives more than {MAX_ROWS} rows; group by less, or ask for less time")
        return answer(statistics_view(query, rows))

    return routes
