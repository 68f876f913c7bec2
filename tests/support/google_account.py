"""A service account's key file, made for these tests, and what its signatures are checked with."""

from __future__ import annotations

import base64
import functools
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.fcm_stand_in import PROJECT

EMAIL = "notify@shop-1.iam.gserviceaccount.com"


@functools.cache
def _key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def account(url: str, **given: str) -> str:
    """The file's text; access tokens are asked for at `url`."""
    pem = _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fields = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "key-1",
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "token_uri": f"{url}/token",
    }
    return json.dumps(fields | given)


def claims_of(assertion: str) -> dict[str, Any]:
    """What an assertion says. Raises InvalidSignature where it is not of this account."""
    head, claims, signature = assertion.split(".")
    signed = f"{head}.{claims}".encode()
    _key().public_key().verify(_decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
    assert json.loads(_decoded(head))["alg"] == "RS256"
    found: dict[str, Any] = json.loads(_decoded(claims))
    return found


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
