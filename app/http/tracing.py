"""Trace context of requests: taken from the client or made, handed on with the events, and in every log line."""

from __future__ import annotations

from collections.abc import Sequence

import flask
import structlog
from msgspec import structs
from werkzeug.exceptions import InternalServerError

from app.domain.ports import EventLog, RawRecord
from app.domain.trace import HEADER, Span, Tracer, read_traceparent, trace_of
from app.http.metrics import UNMATCHED

#: Asked for by machines every few seconds; nobody wants to see it.
_UNSEEN = ("health", "metrics")
_TRACE_ID = "trace_id"


def install(app: flask.Flask, tracer: Tracer) -> None:
    """Give each request a span, and its log lines the trace's id."""

    def begin() -> None:
        if flask.request.blueprint in _UNSEEN:
            return
        given = read_traceparent(flask.request.headers.get(HEADER, ""))
        span = tracer.start(flask.request.endpoint or UNMATCHED, parent=given)
        flask.g.span = span
        structlog.contextvars.bind_contextvars(**trace_of(span.traceparent))

    def end(response: flask.Response) -> flask.Response:
        span: Span | None = flask.g.pop("span", None)
        if span is not None:
            span.tell({"http.response.status_code": response.status_code})
            span.end(error="failed" if response.status_code >= InternalServerError.code else "")
        return response

    def forget(_error: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars(_TRACE_ID)

    app.before_request(begin)
    app.after_request(end)
    app.teardown_request(forget)


class TracedLog:
    """Port EventLog over another of its kind: events carry the trace of their request."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        """See `app.domain.ports.EventLog`."""
        span: Span = flask.g.span
        span.tell({"notification.ids": [record.id for record in records]})
        traced = [structs.replace(record, traceparent=span.traceparent) for record in records]
        return self._log.publish(traced, timeout_s)

    def is_ready(self, timeout_s: float) -> bool:
        """See `app.domain.ports.EventLog`."""
        return self._log.is_ready(timeout_s)
