"""Devices of a user, which push notifications go to: an app on one of them, as its push service knows it."""

from __future__ import annotations

import hmac
from typing import Annotated, Literal

from msgspec import Meta, Struct

#: The push service that hands a message to the device.
Platform = Literal["fcm", "apns", "webpush"]

#: Hexadecimal digits of a device's id.
ID_LENGTH = 32

_DIGEST = "sha256"
#: Apart from whatever else the secret signs.
_PURPOSE = b"notify/device\0"

#: The lengths and patterns told here are checked by `app.domain.device_rules`, which names every fault at once.
Token = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 4096, "pattern": r"^[^\x00-\x1f\x7f]+$"})]
AppName = Annotated[str, Meta(extra_json_schema={"maxLength": 64, "pattern": r"^[^\x00-\x1f\x7f]*$"})]


class Device(Struct, frozen=True, kw_only=True):
    """A device as it is stored. `registered_at_ms`: when its app last said that the token is its own.

    `token` is the push service's address of it: personal, and whoever has it may write to the device.
    """

    id: str
    user_id: str
    platform: Platform
    token: str
    app: str = ""
    locale: str = ""
    registered_at_ms: int


def device_id(secret: bytes, platform: str, token: str) -> str:
    """The id of the device with this token: the same for every registration, and nobody can tell the token by it."""
    return hmac.digest(secret, _PURPOSE + platform.encode() + b"\0" + token.encode(), _DIGEST).hex()[:ID_LENGTH]
