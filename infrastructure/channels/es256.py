"""Tokens signed with ES256 (RFC 7518, section 3.4), which APNs and VAPID ask for, and the keys that sign them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_ALGORITHM = "ES256"
_KEY_BYTES = 32


def read_key(text: str) -> ec.EllipticCurvePrivateKey:
    """A private key of P-256: PEM, as Apple's .p8 files and `push keys` have it, or its 32 bytes as base64url.

    Raises ValueError, which quotes nothing.
    """
    key = _from_pem(text) if "-----" in text else _from_bytes(text.strip())
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("is no private key of P-256 in PEM form")


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key that nobody had before."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    """The private key as a PEM file has it (PKCS #8, not encrypted)."""
    made = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.decode("ascii")


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key: an uncompressed point of 65 bytes."""
    return key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def base64url(data: bytes) -> str:
    """Without padding, as tokens and browsers have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def signed(key: ec.EllipticCurvePrivateKey, claims: Mapping[str, Any], **header: str) -> str:
    """The token that says these claims."""
    return jwt.encode(dict(claims), key, algorithm=_ALGORITHM, headers=dict(header))


def _from_pem(text: str) -> object:
    lines = text.replace("\\n", "\n")  # as a variable of the environment may have them
    try:
        return serialization.load_pem_private_key(lines.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        return None


def _from_bytes(text: str) -> object:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return ec.derive_private_key(int.from_bytes(data), ec.SECP256R1()) if len(data) == _KEY_BYTES else None
    except (binascii.Error, ValueError):
        return None
