"""Chat addresses encrypted under the service's secret (AES-256-GCM), so that no store and no topic has their tokens.

The form is `sealed:<schema>:<base64url of nonce and ciphertext>`; the schema is told, and bound to the rest.
"""

from __future__ import annotations

import binascii
import functools
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from app.domain.chat_address import PREFIX, is_sealed, schema_of
from app.domain.errors import PermanentError
from app.domain.outcome import Reason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Apart from whatever else the secret is for.
_PURPOSE: Final = b"notify/chat address, version 1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # what AES-GCM takes without hashing it first (NIST SP 800-38D, section 8.2)


class Sealing:
    """Seals and opens addresses. Threads may share it. Loads its library when it is first needed."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, address: str) -> str:
        """The sealed form, another each time."""
        schema, nonce = schema_of(address), os.urandom(_NONCE_BYTES)
        sealed = _cipher(self._secret).encrypt(nonce, address.encode(), schema.encode())
        return f"{PREFIX}{schema}:{urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, address: str) -> str:
        """The address that was sealed; one that is not sealed, as it is.

        Raises PermanentError (invalid_address) for what was sealed under another secret, or changed since.
        """
        if not is_sealed(address):
            return address
        from cryptography.exceptions import InvalidTag

        schema, _, text = address.removeprefix(PREFIX).partition(":")
        try:
            given = urlsafe_b64decode(text)
            opened = _cipher(self._secret).decrypt(given[:_NONCE_BYTES], given[_NONCE_BYTES:], schema.encode())
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise PermanentError(Reason.INVALID_ADDRESS, "not sealed under this NOTIFY_SECRET_KEY") from error
        return opened.decode()


@functools.lru_cache(maxsize=4)
def _cipher(secret: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_PURPOSE).derive(secret))
