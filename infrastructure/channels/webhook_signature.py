"""Signatures of the Standard Webhooks specification, https://www.standardwebhooks.com/."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from app.domain.errors import ConfigError
from app.settings import Settings

_PREFIX = "whsec_"
_PURPOSE = b"webhook signing secret, version 1"


def signing_secret(settings: Settings, secret: bytes) -> str:
    """The secret to tell receivers, `whsec_...`: the setting's, or one derived from the service's own secret."""
    if settings.webhook_secret:
        return settings.webhook_secret
    return _PREFIX + base64.b64encode(hmac.digest(secret, _PURPOSE, hashlib.sha256)).decode()


class WebhookSigner:
    """Makes the three headers a receiver checks."""

    def __init__(self, whsec: str) -> None:
        """Raises ConfigError for a secret that is not `whsec_` and base64."""
        try:
            self._key = base64.b64decode(whsec.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise ConfigError("NOTIFY_WEBHOOK_SECRET must be whsec_ followed by base64") from error
        if not whsec.startswith(_PREFIX) or not self._key:
            raise ConfigError("NOTIFY_WEBHOOK_SECRET must be whsec_ followed by base64")

    def headers(self, webhook_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
        """The id stays the same over all tries of a delivery; the time is that of the try."""
        signed = b".".join((webhook_id.encode(), str(timestamp_s).encode(), body))
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": f"v1,{signature}",
        }
