"""/api/v1/users/{id}/preferences: what a user wants, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import flask
import msgspec
from msgspec import Meta, Struct

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.rfc3339 import LATEST_MS
from app.domain.users import Preferences, QuietHours
from app.domain.violation import InvalidInputError, Violation, decode_input, pointer
from app.http.services import Services
from app.http.wire import JSON, Rfc3339, answer, read_body, rfc3339_or_none

PATH = "/api/v1/users/<user_id>/preferences"
ANY = "*"
CATEGORY = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


#: What `_violations` checks, as it is told.
_CATEGORIES = {"minLength": 1, "maxLength": 64, "pattern": r"^[^\x00-\x1f\x7f]+$"}
OfCategory = Annotated[dict[str, bool], Meta(extra_json_schema={"propertyNames": {"enum": [ANY, *CHANNEL_BY_NAME]}})]
OfChannels = Annotated[dict[str, OfCategory], Meta(extra_json_schema={"propertyNames": _CATEGORIES})]


class PreferencesBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What PUT takes: `Preferences` with the time as RFC 3339."""

    channels: OfChannels = {}
    muted_until: Annotated[datetime, Meta(tz=True)] | None = None
    quiet_hours: QuietHours | None = None


class PreferencesView(Struct, frozen=True, kw_only=True):
    """What GET shows."""

    channels: dict[str, dict[str, bool]]
    muted_until: Rfc3339 | None
    quiet_hours: QuietHours | None


_decoder = msgspec.json.Decoder(PreferencesBody)


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("preferences", __name__)

    @routes.get(PATH)
    def show(user_id: str) -> flask.Response:
        return answer(_view(services.preferences.get(user_id)))

    @routes.put(PATH)
    def replace(user_id: str) -> flask.Response:
        preferences = _preferences(decode_input(read_body(JSON), _decoder))
        violations = list(_violations(preferences))
        if violations:
            raise InvalidInputError(violations)
        services.preferences.put(user_id, preferences)
        return answer(_view(preferences))

    return routes


def _violations(preferences: Preferences) -> Iterator[Violation]:
    """What is wrong beyond types. A category may be one that the catalogue does not know yet, or no more."""
    for category, wanted in preferences.channels.items():
        if not CATEGORY.fullmatch(category):
            yield Violation(pointer("channels", category), "has not 1 to 64 characters, or a control character")
        for channel in wanted:
            if channel != ANY and channel not in CHANNEL_BY_NAME:
                yield Violation(
                    pointer("channels", category, channel), f"is not one of *, {', '.join(CHANNEL_BY_NAME)}"
                )
    quiet = preferences.quiet_hours
    if quiet is not None and quiet.start == quiet.end:
        yield Violation("/quiet_hours/end", "is the same as start")
    if preferences.muted_until_ms > LATEST_MS:
        yield Violation("/muted_until", "is after 9999-12-31")


def _preferences(body: PreferencesBody) -> Preferences:
    muted_until_ms = 0
    if body.muted_until is not None:
        # A time before 1970 mutes as little as none.
        muted_until_ms = max(0, round((body.muted_until - EPOCH).total_seconds() * 1000))
    return Preferences(channels=body.channels, muted_until_ms=muted_until_ms, quiet_hours=body.quiet_hours)


def _view(preferences: Preferences) -> PreferencesView:
    return PreferencesView(
        channels=preferences.channels,
        muted_until=rfc3339_or_none(preferences.muted_until_ms),
        quiet_hours=preferences.quiet_hours,
    )
