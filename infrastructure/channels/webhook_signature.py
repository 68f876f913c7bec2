"""Signatures of the Standard Webhooks specification, https://www.standardwebhooks.com/."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from app.domain.errors import ConfigError
from app.domain.report import InvalidSignatureError
from app.settings import Settings

_PREFIX = "whsec_"
_PURPOSE = b"webhook signing secret, version 1"
#: How far the time of what is received may be from ours, seconds: what was recorded is not to be played again later.
TOLERANCE_S: Final = 300
#: Names of the three headers: those of the specification, and those that Svix sends unless told otherwise.
_NAMES: Final = ("webhook", "svix")


def signing_secret(settings: Settings, secret: bytes) -> str:
    """The secret to tell receivers, `whsec_...`: the setting's, or one derived from the service's own secret."""
    if settings.webhook_secret:
        return settings.webhook_secret
    return _PREFIX + base64.b64encode(hmac.digest(secret, _PURPOSE, hashlib.sha256)).decode()


class WebhookSigner:
    """Makes the three headers a receiver checks."""

    def __init__(self, whsec: str) -> None:
        """Raises ConfigError for a secret that is not `whsec_` and base64."""
        self._key = _key(whsec, "NOTIFY_WEBHOOK_SECRET")

    def headers(self, webhook_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
        """The id stays the same over all tries of a delivery; the time is that of the try."""
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": _signature(self._key, webhook_id, str(timestamp_s), body),
        }


class WebhookVerifier:
    """Checks the three headers of what is received."""

    def __init__(self, whsec: str, place: str) -> None:
        """`place` is where the secret stands. Raises ConfigError for one that is not `whsec_` and base64."""
        self._key = _key(whsec, place)

    def check(self, headers: Mapping[str, str], body: bytes, *, now_s: int) -> None:
        """Raises InvalidSignatureError. Names of headers are in lower case; one of several signatures is enough."""
        name = next((one for one in _NAMES if f"{one}-id" in headers), _NAMES[0])
        webhook_id, time = headers.get(f"{name}-id", ""), headers.get(f"{name}-timestamp", "")
        if not (time.isascii() and time.isdigit()) or abs(int(time[:20]) - now_s) > TOLERANCE_S:
            raise InvalidSignatureError(f"{name}-timestamp is not a time of the last {TOLERANCE_S} s")
        wanted = _signature(self._key, webhook_id, time, body).encode()
        given = headers.get(f"{name}-signature", "").split(" ")
        if not any(hmac.compare_digest(wanted, one.encode()) for one in given):
            raise InvalidSignatureError(f"{name}-signature is not that of the body, {name}-id and {name}-timestamp")


def _signature(key: bytes, webhook_id: str, time: str, body: bytes) -> str:
    signed = b".".join((webhook_id.encode(), time.encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def _key(whsec: str, place: str) -> bytes:
    """What signs. Raises ConfigError, which does not quote it."""
    try:
        key = base64.b64decode(whsec.removeprefix(_PREFIX), validate=True)
    except ValueError as error:  # binascii's, or that of other than ASCII
        raise ConfigError(f"{place} must be {_PREFIX} followed by base64") from error
    if not whsec.startswith(_PREFIX) or not key:
        raise ConfigError(f"{place} must be {_PREFIX} followed by base64")
    return key
