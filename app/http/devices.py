"""/api/v1/users/{id}/devices: where push notifications go."""

from __future__ import annotations

import flask
import msgspec
from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.device import AppName, Device, Platform, Token, device_id
from app.domain.device_rules import device_violations, normal_token
from app.domain.masking import masked
from app.domain.users import Locale
from app.domain.violation import InvalidInputError, decode_input
from app.http.services import Services
from app.http.wire import JSON, Rfc3339, answer, read_body, rfc3339

PATH = "/api/v1/users/<user_id>/devices"


class DeviceBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST takes. `app` is for people to tell devices by; without `locale` the user's counts."""

    token: Token
    platform: Platform
    app: AppName = ""
    locale: Locale | None = None


class DeviceView(Struct, frozen=True, kw_only=True):
    """A device as it is shown: the token enough to tell it from another, never whole."""

    id: str
    platform: Platform
    token: str
    app: str
    locale: str | None
    registered_at: Rfc3339


class DeviceList(Struct, frozen=True, kw_only=True):
    """All devices of a user, the one registered last first."""

    items: list[DeviceView]


class Removed(Struct, frozen=True, kw_only=True):
    """How many were removed: none where there was none of that id."""

    removed: int


_decoder = msgspec.json.Decoder(DeviceBody)


def blueprint(services: Services) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("devices", __name__)
    devices = services.devices

    @routes.get(PATH)
    def show(user_id: str) -> flask.Response:
        return answer(DeviceList(items=[device_view(device) for device in devices.of_user(user_id)]))

    @routes.post(PATH)
    def register(user_id: str) -> flask.Response:
        body = decode_input(read_body(JSON), _decoder)
        violations = list(device_violations(body.platform, body.token, body.app, body.locale))
        if violations:
            raise InvalidInputError(violations)
        token = normal_token(body.platform, body.token)
        device = Device(
            id=device_id(services.secret, body.platform, token),
            user_id=user_id,
            platform=body.platform,
            token=token,
            app=body.app,
            locale=body.locale or "",
            registered_at_ms=now_ms(),
        )
        is_new = devices.register(device, services.settings.devices_max)
        return answer(device_view(device), 201 if is_new else 200)

    @routes.delete(f"{PATH}/<device_id>")
    def remove(user_id: str, device_id: str) -> flask.Response:
        return answer(Removed(removed=int(devices.remove(user_id, device_id))))

    return routes


def device_view(device: Device) -> DeviceView:
    """The device as people may see it."""
    return DeviceView(
        id=device.id,
        platform=device.platform,
        token=masked(device.token),
        app=device.app,
        locale=device.locale or None,
        registered_at=rfc3339(device.registered_at_ms),
    )
