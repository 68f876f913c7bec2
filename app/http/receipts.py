"""/api/v1/receipts/{provider}: what providers report of messages that they took, and STOP and START.

It asks for no API key: the provider's signature stands for it.
"""

from __future__ import annotations

from typing import Final

import flask

from app.domain.report import PATH as ROOT
from app.domain.report import InvalidSignatureError, ReceiptRequest
from app.domain.violation import InvalidInputError
from app.http.metrics import EXTENSION, HttpMetrics
from app.http.problems import INVALID_SIGNATURE, NOT_FOUND, ProblemError
from app.http.services import Services
from app.http.wire import JSON, read_body

PATH: Final = f"{ROOT}<provider>"
FORM: Final = "application/x-www-form-urlencoded"
#: What SNS calls its JSON.
TEXT: Final = "text/plain"
XML: Final = "text/xml"
#: SNS takes messages of 256 kB, which may be longer once they are within a document.
MAX_BYTES: Final = 512 * 1024
#: Twilio would send any other answer to a message that came in, as a reply.
NO_REPLY: Final = "<Response/>"


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("receipts", __name__)

    @routes.post(PATH)
    def take(provider: str) -> flask.Response:
        reader = services.receipt_readers.of(provider)
        if reader is None:
            raise ProblemError(NOT_FOUND.problem("No provider of this name reports, or it is not said how it signs."))
        body = read_body(JSON, FORM, TEXT, max_bytes=MAX_BYTES)
        metrics: HttpMetrics = flask.current_app.extensions[EXTENSION]
        try:
            reports = reader.read(_request(body))
        except InvalidSignatureError as error:
            metrics.receipt(provider, "refused")
            raise ProblemError(INVALID_SIGNATURE.problem(str(error))) from error
        except InvalidInputError:
            metrics.receipt(provider, "refused")
            raise
        if not reports:
            metrics.receipt(provider, "ignored")
        for report in reports:
            metrics.receipt(provider, services.take_report.take(provider, report))
        if flask.request.mimetype == FORM:
            return flask.Response(NO_REPLY, content_type=XML)
        return flask.Response(content_type=f"{TEXT}; charset=utf-8")

    return routes


def _request(body: bytes) -> ReceiptRequest:
    headers = {name.lower(): value for name, value in flask.request.headers.items()}
    return ReceiptRequest(query=flask.request.query_string.decode("latin-1"), headers=headers, body=body)
