"""Every error as `application/problem+json` (RFC 9457); `KINDS` names them all."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping

import flask
import structlog
from msgspec import Struct
from werkzeug.exceptions import HTTPException

from app.domain import codec
from app.domain.errors import HalfStoredError, StoreUnavailableError, TopicFullError
from app.domain.violation import InvalidInputError, MalformedInputError, TooLargeInputError

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:notify:problem:"
#: What a client is asked to wait where nobody knows how long a store will be away.
RETRY_AFTER_S = 2
HALF_STORED = (
    "What was sent is stored. A copy of what was before may be left, and be used where the database is away: "
    "repeat the request until it is answered with success. Repeating is safe."
)

log = structlog.get_logger()


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong with a request. `pointer` is a JSON pointer into the body (empty: all of it)."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The members of RFC 9457, and `errors`."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: tuple[Fault, ...] = ()
    retry_after_s: int | None = None


class ProblemError(Exception):
    """Ends a request with a problem; `headers` are the answer's."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.type)
        self.problem = problem
        self.headers = dict(headers or {})


class Kind(Struct, frozen=True):
    """A kind of problem that clients can tell by its type."""

    name: str
    status: int
    title: str

    def problem(self, detail: str = "", *faults: Fault, retry_after_s: float | None = None) -> Problem:
        """A problem of this kind. Seconds are rounded up to whole ones."""
        return Problem(
            type=TYPE_PREFIX + self.name,
            title=self.title,
            status=self.status,
            detail=detail,
            errors=faults,
            retry_after_s=None if retry_after_s is None else max(1, math.ceil(retry_after_s)),
        )


KINDS = (
    MALFORMED := Kind("malformed", 400, "The body cannot be read"),
    INVALID_KEY := Kind("invalid-idempotency-key", 400, "The Idempotency-Key cannot be read"),
    INVALID_SIGNATURE := Kind("invalid-signature", 400, "The signature is not the provider's"),
    UNAUTHENTICATED := Kind("unauthenticated", 401, "An API key is needed"),
    FORBIDDEN := Kind("forbidden", 403, "The API key may not do this"),
    NOT_FOUND := Kind("not-found", 404, "There is no such thing"),
    KEY_RUNNING := Kind("idempotency-key-running", 409, "A request with this Idempotency-Key is still running"),
    TOO_LATE := Kind("too-late", 409, "It is too late to cancel this"),
    TOO_LARGE := Kind("too-large", 413, "The body is too large"),
    UNSUPPORTED_MEDIA_TYPE := Kind("unsupported-media-type", 415, "The body is of a type that is not taken here"),
    INVALID := Kind("invalid", 422, "The request is not what is asked for"),
    KEY_REUSED := Kind("idempotency-key-reused", 422, "This Idempotency-Key stands for another request"),
    RATE_LIMITED := Kind("rate-limited", 429, "The API key has no requests left for the moment"),
    INTERNAL := Kind("internal", 500, "Something went wrong here"),
    TOPIC_FULL := Kind("full", 503, "No more events can be taken in for the moment"),
    UNAVAILABLE := Kind("unavailable", 503, "A store is not available"),
)


def of_input(error: InvalidInputError) -> Problem:
    """The problem of input that is not what is asked for."""
    kind = INVALID
    if isinstance(error, MalformedInputError):
        kind = MALFORMED
    elif isinstance(error, TooLargeInputError):
        kind = TOO_LARGE
    faults = (Fault(pointer=violation.pointer, detail=violation.detail) for violation in error.violations)
    return kind.problem("", *faults)


def of_publishing(error: Exception) -> Problem:
    """The problem of an event that Kafka did not take."""
    if isinstance(error, TopicFullError):
        return TOPIC_FULL.problem("Nothing was accepted; try again later.", retry_after_s=error.retry_after_s)
    return UNAVAILABLE.problem(
        "The event was not confirmed in time and may still have landed. "
        "Repeating the request with the same Idempotency-Key is safe.",
        retry_after_s=RETRY_AFTER_S,
    )


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> flask.Response:
    """The problem as an answer, with Retry-After where it says when to come back."""
    response = flask.Response(codec.encode(problem), problem.status, headers, content_type=CONTENT_TYPE)
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


def install(app: flask.Flask) -> None:
    """Answer every error of the application with a problem."""
    app.register_error_handler(ProblemError, lambda error: respond(error.problem, error.headers))
    app.register_error_handler(InvalidInputError, lambda error: respond(of_input(error)))
    app.register_error_handler(StoreUnavailableError, _store_unavailable)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _store_unavailable(error: StoreUnavailableError) -> flask.Response:
    log.warning("http_store_unavailable", endpoint=flask.request.endpoint, error=str(error))
    detail = HALF_STORED if isinstance(error, HalfStoredError) else "Try again later."
    return respond(UNAVAILABLE.problem(detail, retry_after_s=RETRY_AFTER_S))


def _http_error(error: HTTPException) -> flask.Response:
    """What the framework refuses by itself. Its headers stay: Allow, Location."""
    response = flask.Response(status=error.code, headers=error.get_headers(flask.request.environ))
    if error.code is not None and error.code >= MALFORMED.status:
        named = {TOO_LARGE.status: TOO_LARGE, NOT_FOUND.status: NOT_FOUND}.get(error.code)
        problem = Problem(type="about:blank", title=error.name, status=error.code, detail=error.description or "")
        response.data = codec.encode(named.problem() if named else problem)
        response.content_type = CONTENT_TYPE
    return response


def _unexpected(error: Exception) -> flask.Response:
    # The error's own text may quote what the client sent; where it happened is what is needed.
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("http_failed", endpoint=flask.request.endpoint, error=type(error).__name__, frames=frames)
    return respond(INTERNAL.problem())
