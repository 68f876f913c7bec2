"""Message encryption for Web Push (RFC 8291): one record of aes128gcm (RFC 8188)."""

from __future__ import annotations

import os
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infrastructure.channels import es256

_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SECRET_BYTES: Final = 32
#: The record's size: what a push service has to take (RFC 8030, section 7.2).
_RECORD_BYTES: Final = 4096
#: Ends the last record; RFC 8188, section 2.
_LAST: Final = b"\x02"


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """A browser's key. Raises ValueError where the point is not on the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def encrypted(
    content: bytes,
    *,
    p256dh: bytes,
    auth: bytes,
    sender: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The body to send: only the browser can read it. Raises ValueError where `p256dh` is no point of the curve.

    `sender` and `salt` are made for each message, but for the examples of the standard.
    """
    receiver, sender, salt = public_key(p256dh), sender or es256.new_key(), salt or os.urandom(_SALT_BYTES)
    point = es256.point_of(sender)
    shared = sender.exchange(ec.ECDH(), receiver)
    secret = _derived(shared, salt=auth, info=b"WebPush: info\x00" + p256dh + point, length=_SECRET_BYTES)
    key = _derived(secret, salt=salt, info=b"Content-Encoding: aes128gcm\x00", length=_KEY_BYTES)
    nonce = _derived(secret, salt=salt, info=b"Content-Encoding: nonce\x00", length=_NONCE_BYTES)
    head = salt + _RECORD_BYTES.to_bytes(4) + len(point).to_bytes(1) + point
    return head + AESGCM(key).encrypt(nonce, content + _LAST, None)


def _derived(key: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(key)
