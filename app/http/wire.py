"""Bodies in and out, as all resources read and write them."""

from __future__ import annotations

from collections.abc import Mapping

import flask

from app.domain import codec
from app.domain.event import MAX_EVENT_BYTES
from app.domain.rfc3339 import Rfc3339 as Rfc3339  # noqa: PLC0414 - resources have all they write from here
from app.domain.rfc3339 import rfc3339 as rfc3339  # noqa: PLC0414
from app.domain.rfc3339 import rfc3339_or_none as rfc3339_or_none  # noqa: PLC0414
from app.http.problems import TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, ProblemError

JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


def read_body(*media_types: str, max_bytes: int = MAX_EVENT_BYTES) -> bytes:
    """The request's body. Raises ProblemError: 415 for another media type, 413 above `max_bytes`.

    Since no form can send any of these types, no page of another site can post here without being asked first (CORS).
    """
    if flask.request.mimetype not in media_types:
        raise ProblemError(UNSUPPORTED_MEDIA_TYPE.problem(f"Content-Type must be {' or '.join(media_types)}"))
    # Of a chunked body the framework gives as much as its limit and does not say that there was more.
    flask.request.max_content_length = max_bytes + 1
    body = flask.request.get_data(cache=False)
    if len(body) > max_bytes:
        raise ProblemError(TOO_LARGE.problem(f"At most {max_bytes} bytes are taken."))
    return body


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> flask.Response:
    """A JSON answer."""
    return flask.Response(codec.encode(value), status, headers, content_type=JSON)
