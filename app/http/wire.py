"""Bodies in and out, as all resources read and write them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import flask
from msgspec import Meta

from app.domain import codec
from app.domain.event import MAX_EVENT_BYTES
from app.http.problems import TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, ProblemError

JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")

#: A point in time as `rfc3339` writes it.
Rfc3339 = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


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


def rfc3339(at_ms: int) -> Rfc3339:
    """Unix milliseconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(at_ms: int | None) -> Rfc3339 | None:
    """The same, None where there is no time (None or 0)."""
    return rfc3339(at_ms) if at_ms else None
