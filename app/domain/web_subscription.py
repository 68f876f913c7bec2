"""A browser's push subscription, as `JSON.stringify(subscription)` gives it: the token of a device of Web Push.

https://www.w3.org/TR/push-api/#dom-pushsubscription-tojson
"""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from app.domain.codec import decode, encode
from app.domain.errors import UndecodableError

#: An uncompressed point of P-256, and what it begins with; RFC 8291, section 3.1.
_POINT_BYTES: Final = 65
_UNCOMPRESSED: Final = 4
#: RFC 8291, section 3.2.
_SECRET_BYTES: Final = 16


class _Keys(Struct, frozen=True):
    p256dh: str
    auth: str


class _Body(Struct, frozen=True):
    endpoint: str
    keys: _Keys


class WebSubscription(Struct, frozen=True, kw_only=True):
    """Where a push service takes messages for it, the browser's public key, and the secret it shares with senders."""

    endpoint: str
    p256dh: bytes
    auth: bytes

    @property
    def text(self) -> str:
        """The same for the same subscription, whatever else came with it, and in whatever order."""
        keys = _Keys(p256dh=_base64url(self.p256dh), auth=_base64url(self.auth))
        return encode(_Body(endpoint=self.endpoint, keys=keys)).decode()


def read_subscription(text: str) -> WebSubscription:
    """Raises ValueError, which says what is wrong and quotes nothing."""
    try:
        body = decode(text, _Body)
    except (UndecodableError, UnicodeEncodeError):
        raise ValueError("is no subscription: JSON with endpoint, keys.p256dh and keys.auth") from None
    _check_endpoint(body.endpoint)
    p256dh, auth = _decoded(body.keys.p256dh), _decoded(body.keys.auth)
    if len(p256dh) != _POINT_BYTES or p256dh[0] != _UNCOMPRESSED:
        raise ValueError(f"has no p256dh of {_POINT_BYTES} bytes, an uncompressed point, in base64url")
    if len(auth) != _SECRET_BYTES:
        raise ValueError(f"has no auth of {_SECRET_BYTES} bytes in base64url")
    return WebSubscription(endpoint=body.endpoint, p256dh=p256dh, auth=auth)


def _check_endpoint(endpoint: str) -> None:
    is_good = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
    if is_good:
        try:
            url = urlsplit(endpoint)
            is_good = url.scheme == "https" and bool(url.hostname) and url.port != 0 and "@" not in url.netloc
        except ValueError:  # a port that is no number, a broken IPv6 address
            is_good = False
    if not is_good:
        raise ValueError("has an endpoint that is no https URL without a user in it")


def _decoded(text: str) -> bytes:
    """Bytes of base64url, with padding or without; none where it is something else."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
