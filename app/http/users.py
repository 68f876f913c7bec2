"""/api/v1/users/{id}: contacts, locale and timezone; forgetting."""

from __future__ import annotations

import flask
import msgspec
from msgspec import Struct

from app.domain.chat_sealing import sealed_user
from app.domain.event import UserId
from app.domain.user_rules import check_user
from app.domain.users import Contacts, Locale, User
from app.domain.violation import InvalidInputError, Violation, decode_input
from app.http.forgotten_view import forgotten_view
from app.http.paging import refused
from app.http.problems import NOT_FOUND, ProblemError
from app.http.services import Services
from app.http.wire import JSON, answer, read_body
from infrastructure.sealing import Sealing

PATH = "/api/v1/users/<user_id>"


class UserBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What PUT takes; `id` may be there, so that what GET gave can be sent back."""

    id: str | None = None
    contacts: Contacts = Contacts()
    locale: Locale = "en"
    timezone: str = "UTC"


_decoder = msgspec.json.Decoder(UserBody)


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("users", __name__)
    sealing = Sealing(services.secret)

    @routes.get(PATH)
    def show(user_id: str) -> flask.Response:
        user = services.users.get(user_id)
        if user is None:
            raise ProblemError(NOT_FOUND.problem("No user has this id."))
        return answer(user)

    @routes.put(PATH)
    def replace(user_id: str) -> flask.Response:
        body = decode_input(read_body(JSON), _decoder)
        user = User(id=user_id, contacts=body.contacts, locale=body.locale, timezone=body.timezone)
        violations = [Violation(pointer, detail) for pointer, detail in check_user(user)]
        if body.id not in (None, user_id):
            violations.append(Violation("/id", "is not the id of the path"))
        if violations:
            raise InvalidInputError(violations)
        user = sealed_user(user, sealing.seal)
        is_new = services.users.put(user)
        return answer(user, 201 if is_new else 200)

    @routes.delete(PATH)
    def forget(user_id: str) -> flask.Response:
        return answer(forgotten_view(services.forget.forget(checked_id(user_id))))

    return routes


def checked_id(user_id: str) -> str:
    """A user id that events may carry. Raises ProblemError (422)."""
    try:
        return msgspec.convert(user_id, UserId)
    except msgspec.ValidationError as error:
        raise refused("user_id", str(error)) from error
