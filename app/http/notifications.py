"""/api/v1/notifications: events in, one or many at a time; what became of one."""

from __future__ import annotations

import io
import itertools
from typing import Literal

import flask
import msgspec
from msgspec import Raw, Struct

from app.domain.event_rules import CheckedEvent, read_batch_item, read_event
from app.domain.ids import id_time_ms, is_ours
from app.domain.outcome import Status
from app.domain.violation import WHOLE, InvalidInputError, TooLargeInputError, Violation, decode_input
from app.http.auth import caller
from app.http.idempotency import HEADER, REPLAYED_HEADER, Accepted, Repeated, read_key
from app.http.intake import Intake
from app.http.notification_view import NotificationView, notification_view
from app.http.problems import NOT_FOUND, Problem, ProblemError, of_input
from app.http.services import Services
from app.http.wire import JSON, NDJSON, answer, read_body, rfc3339_or_none

PATH = "/api/v1/notifications"
MAX_BATCH_EVENTS = 1000
MAX_BATCH_BYTES = 5_000_000

#: Items as a JSON array holds them, and one too many. What follows is read, and kept nowhere: an array of millions of
#: tiny ones, which has room in MAX_BATCH_BYTES, takes no memory for each.
_Items = msgspec.defstruct(
    "_Items", [(f"item_{index}", Raw, Raw()) for index in range(MAX_BATCH_EVENTS + 1)], array_like=True
)
_array_decoder = msgspec.json.Decoder(_Items)


class BatchAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event of a batch: an id, or a problem."""

    index: int
    status: Literal["accepted", "rejected"]
    id: str | None = None
    problem: Problem | None = None


class BatchAnswers(Struct, frozen=True, kw_only=True):
    """What became of the events of a batch, in their order."""

    items: list[BatchAnswer]


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("notifications", __name__, url_prefix=PATH)
    intake = Intake(services)

    @routes.post("")
    def accept_one() -> flask.Response:
        checked = read_event(read_body(JSON), services.catalogue)
        key = read_key(flask.request.headers.get(HEADER))
        if key is not None:
            checked = msgspec.structs.replace(checked, idempotency_key=key)
        [given] = intake.accept(caller(), [checked])
        if isinstance(given, Problem):
            raise ProblemError(given)
        return answer(given, 202, {"Location": f"{PATH}/{given.id}"})

    @routes.post("/batch")
    def accept_batch() -> flask.Response:
        bodies = _read_batch()
        key = read_key(flask.request.headers.get(HEADER))
        read = [_read_item(body, index, key, services) for index, body in enumerate(bodies)]
        given = iter(intake.accept(caller(), [item for item in read if isinstance(item, CheckedEvent)]))
        return _batch_answer([next(given) if isinstance(item, CheckedEvent) else item for item in read])

    @routes.get("/<notification_id>")
    def show(notification_id: str) -> flask.Response:
        record = services.history.notification(notification_id)
        if record is not None:
            return answer(notification_view(record, services.catalogue))
        if not is_ours(notification_id, services.secret):
            raise ProblemError(NOT_FOUND.problem("No notification has this id."))
        accepted_at = rfc3339_or_none(id_time_ms(notification_id))
        return answer(NotificationView(id=notification_id, status=Status.ACCEPTED, accepted_at=accepted_at))

    return routes


def _read_batch() -> list[bytes]:
    """The JSON of each event. Raises InvalidInputError for what is no batch, or too large a one."""
    body = read_body(JSON, *NDJSON, max_bytes=MAX_BATCH_BYTES)
    if flask.request.mimetype == JSON:
        found = map(bytes, msgspec.structs.astuple(decode_input(body, _array_decoder)))
        items = list(itertools.takewhile(len, found))
    else:
        lines = (line for line in io.BytesIO(body) if line.strip())
        items = list(itertools.islice(lines, MAX_BATCH_EVENTS + 1))
    if not items:
        raise InvalidInputError([Violation(WHOLE, "holds no event")])
    if len(items) > MAX_BATCH_EVENTS:
        raise TooLargeInputError([Violation(WHOLE, f"holds more than {MAX_BATCH_EVENTS} events")])
    return items


def _read_item(body: bytes, index: int, key: str | None, services: Services) -> CheckedEvent | Problem:
    """One event; without a key of its own it gets one made of the whole request's and its place in it."""
    try:
        checked = read_batch_item(body, services.catalogue)
    except InvalidInputError as error:
        return of_input(error)
    if key is None or checked.idempotency_key is not None:
        return checked
    # No key that a client can send holds a line break.
    return msgspec.structs.replace(checked, idempotency_key=f"{key}\n{index}")


def _batch_answer(given: list[Accepted | Problem]) -> flask.Response:
    items = [
        BatchAnswer(index=index, status="rejected", problem=one)
        if isinstance(one, Problem)
        else BatchAnswer(index=index, status=one.status, id=one.id)
        for index, one in enumerate(given)
    ]
    refused = [one for one in given if isinstance(one, Problem)]
    waits = [one.retry_after_s for one in refused if one.retry_after_s is not None]
    repeated = sum(isinstance(one, Repeated) for one in given)
    headers = {"Retry-After": str(max(waits))} if waits else {}
    headers |= {REPLAYED_HEADER: str(repeated)} if repeated else {}
    return answer(BatchAnswers(items=items), 207 if refused else 202, headers)
